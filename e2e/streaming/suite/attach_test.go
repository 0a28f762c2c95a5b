// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// attached is one client of an attach.
type attached struct {
	keys   *io.PipeWriter
	shown  *screen
	leave  context.CancelFunc
	ended  chan error
	window sizes
}

func (c container) attach(t *testing.T, via transport, tty bool) *attached {
	t.Helper()
	in, keys := io.Pipe()
	a := &attached{keys: keys, shown: &screen{}, ended: make(chan error, 1), window: make(sizes, 4)}
	o := remotecommand.StreamOptions{Stdin: in, Stdout: a.shown, Tty: tty}
	if tty {
		o.TerminalSizeQueue = a.window
	} else {
		o.Stderr = a.shown
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.leave = cancel
	t.Cleanup(cancel)
	address := c.attachURL(t, o)
	go func() { a.ended <- via.stream(ctx, address, o) }()
	return a
}

func (a *attached) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(a.keys, text); err != nil {
		t.Error(err)
	}
}

func TestAttachShowsWhatIsWrittenToAllWhoAreThere(t *testing.T) {
	onEach(t, func(t *testing.T, via transport) {
		c := target.run(t, shape{stdin: true, command: []string{"sh", "-c", "while read -r line; do echo \"got $line\"; echo \"err $line\" >&2; done; echo over; sleep 1000"}})
		first, second := c.attach(t, via, false), c.attach(t, via, false)
		// Both are known to be there when both see the answer to the same question.
		for _, one := range []*attached{first, second} {
			if !until(func() bool {
				first.say(t, "ping\n")
				return strings.Contains(one.shown.String(), "got ping") && strings.Contains(one.shown.String(), "err ping")
			}) {
				t.Fatalf("shown: %q", one.shown)
			}
		}
		second.say(t, "from the second\n")
		first.shown.shows(t, "got from the second")
		second.shown.shows(t, "got from the second")
		second.leave()
		<-second.ended
		first.say(t, "still here\n")
		first.shown.shows(t, "got still here")
		// Without stdin_once a client that ends its input, or leaves, ends nothing.
		first.keys.Close()
		third := c.attach(t, via, false)
		if !until(func() bool { third.say(t, "third\n"); return strings.Contains(third.shown.String(), "got third") }) {
			t.Fatalf("the input ended with the first client's; shown: %q", third.shown)
		}
		if strings.Contains(c.log(t), "over") || !strings.Contains(c.log(t), "got third") {
			t.Errorf("the log says %q", c.log(t))
		}
		if state := c.state(t); state != cri.ContainerState_CONTAINER_RUNNING {
			t.Error(state)
		}
	})
}

func TestAttachEndsInputForGoodWithStdinOnce(t *testing.T) {
	onEach(t, func(t *testing.T, via transport) {
		c := target.run(t, shape{stdin: true, stdinOnce: true, command: []string{"sh", "-c", "wc -c; echo over"}})
		one := c.attach(t, via, false)
		one.say(t, strings.Repeat("x", 100000))
		one.keys.Close()
		if err := <-one.ended; err != nil {
			t.Error(err)
		}
		if !until(func() bool { return c.state(t) == cri.ContainerState_CONTAINER_EXITED }) {
			t.Fatal("it does not end")
		}
		if !strings.Contains(one.shown.String(), "100000") || !strings.Contains(one.shown.String(), "over") {
			t.Errorf("shown: %q", one.shown)
		}
	})
}

func TestAttachEndsInputWhenTheOnlyClientLeavesWithStdinOnce(t *testing.T) {
	onEach(t, func(t *testing.T, via transport) {
		c := target.run(t, shape{stdin: true, stdinOnce: true, command: []string{"sh", "-c", "cat; echo over"}})
		one := c.attach(t, via, false)
		one.say(t, "hello\n")
		one.shown.shows(t, "hello")
		one.leave()
		if !until(func() bool { return c.state(t) == cri.ContainerState_CONTAINER_EXITED }) {
			t.Fatal("it does not end")
		}
		if !strings.Contains(c.log(t), "over") {
			t.Errorf("the log says %q", c.log(t))
		}
	})
}

func TestAttachHasTheTerminal(t *testing.T) {
	onEach(t, func(t *testing.T, via transport) {
		c := target.run(t, shape{stdin: true, tty: true, command: []string{"sh"}})
		one := c.attach(t, via, true)
		one.window <- remotecommand.TerminalSize{Width: 99, Height: 33}
		one.say(t, "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.02; done; echo si''zed\n")
		one.shown.shows(t, "sized")
		one.leave()
		<-one.ended
		// Whoever leaves takes nothing along: no end of input for the shell, which would end it.
		for i := range 8 {
			visitor := c.attach(t, via, true)
			visitor.say(t, fmt.Sprintf("echo vis''it %d\n", i))
			visitor.shown.shows(t, fmt.Sprint("visit ", i))
			visitor.leave()
			<-visitor.ended
			close(visitor.window)
		}
		again := c.attach(t, via, true)
		again.say(t, "echo ba''ck; exit\n")
		again.shown.shows(t, "back")
		if err := <-again.ended; err != nil {
			t.Error(err)
		}
		close(one.window)
		close(again.window)
	})
}

// A client that does not read holds up neither the container nor its log.
func TestAttachLeavesASlowClientBehind(t *testing.T) {
	onEach(t, func(t *testing.T, via transport) {
		c := target.run(t, shape{stdin: true, command: []string{"sh", "-c", "read go; yes 0123456789abcdef | head -c 40000000; echo; echo written; sleep 1000"}})
		before := target.usage()
		blocked, release := io.Pipe()
		o := remotecommand.StreamOptions{Stdout: release}
		ctx, leave := context.WithCancel(context.Background())
		defer leave()
		address := c.attachURL(t, o)
		ended := make(chan error, 1)
		go func() { ended <- via.stream(ctx, address, o) }()
		keys := c.attach(t, via, false)
		keys.say(t, "go\n")
		keys.shown.shows(t, "written")
		if !until(func() bool { return strings.Contains(c.log(t), "written") }) {
			t.Error("the log waits for the slow client")
		}
		// Nothing more is written, and it has read nothing so far.
		late := &screen{}
		go func() { _, _ = io.Copy(late, blocked) }()
		late.shows(t, "\nwritten\n")
		if !strings.Contains(late.String(), "bytes are missing here") {
			t.Errorf("%d bytes came without a note of the others", len(late.String()))
		}
		keys.leave()
		leave()
		<-ended
		blocked.Close()
		target.settles(t, before, 16<<10)
	})
}

// What every SPDY client does that leaves: it resets its streams, and closes the connection a little later.
func TestAttachTakesNoResetForTheEndOfInput(t *testing.T) {
	c := target.run(t, shape{stdin: true, tty: true, command: []string{"sh"}})
	o := remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: io.Discard, Tty: true}
	address, err := url.Parse(c.attachURL(t, o))
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := forwardSPDY(address)
	if err != nil {
		t.Fatal(err)
	}
	connection, _, err := dialer.Dial("v4.channel.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	streams := map[string]httpstream.Stream{}
	for _, kind := range []string{"error", "stdin", "stdout", "resize"} {
		if streams[kind], err = connection.CreateStream(http.Header{"Streamtype": {kind}}); err != nil {
			t.Fatal(err)
		}
	}
	shown := &screen{}
	go func() { _, _ = io.Copy(shown, streams["stdout"]) }()
	_, _ = io.WriteString(streams["stdin"], "echo fir''st\n")
	shown.shows(t, "first")
	if err := streams["stdin"].Reset(); err != nil {
		t.Fatal(err)
	}
	again := c.attach(t, transports[0], true)
	again.say(t, "echo sec''ond\n")
	again.shown.shows(t, "second")
	shown.shows(t, "second")
	close(again.window)
}
