// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"k8s.io/client-go/tools/remotecommand"
)

func limitedDaemon(t *testing.T, name, more string) *daemon {
	t.Helper()
	return daemonWith(t, name, "[streaming]\n"+more)
}

// daemonWith starts a berthd with these tables in its configuration, and an image; both go with the test.
func daemonWith(t *testing.T, name, config string) *daemon {
	t.Helper()
	d, err := startDaemon(name, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	if err := d.importImage("busybox"); err != nil {
		t.Fatal(err)
	}
	return d
}

// holds opens a session and returns what ends it.
func (c container) holds(t *testing.T) (end func()) {
	t.Helper()
	in, keys := io.Pipe()
	shown := &screen{}
	o := remotecommand.StreamOptions{Stdin: in, Stdout: shown}
	address := c.execURL(t, o, "sh", "-c", "echo ready; cat")
	over := make(chan error, 1)
	go func() { over <- transports[0].stream(context.Background(), address, o) }()
	shown.shows(t, "ready")
	return func() {
		_ = keys.Close()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}

func TestRequestsBeyondTheSessionsOfAPodAndOfAllMayComeAgain(t *testing.T) {
	d := limitedDaemon(t, "limited", "max_sessions = 3\nmax_sessions_per_pod = 2\n")
	one, other := d.run(t, shape{host: true}), d.run(t, shape{host: true})
	offer := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {"v4.channel.k8s.io"}}
	o := remotecommand.StreamOptions{Stdout: io.Discard}
	refused := func(c container, why string) string {
		t.Helper()
		address := c.execURL(t, o, "true")
		reply := ask(t, address, "POST", offer)
		words, _ := io.ReadAll(reply.Body)
		if reply.StatusCode != 429 || reply.Header.Get("Retry-After") == "" || !strings.Contains(string(words), why) {
			t.Errorf("%s, Retry-After %q: %q", reply.Status, reply.Header.Get("Retry-After"), words)
		}
		return address
	}
	ends := []func(){one.holds(t), one.holds(t)}
	ofPod := refused(one, "2 of this pod (streaming.max_sessions_per_pod)")
	ends = append(ends, other.holds(t))
	ofAll := refused(other, "3 in all (streaming.max_sessions)")
	ends[0]()
	for _, address := range []string{ofPod, ofAll} {
		if !until(func() bool { return transports[0].stream(context.Background(), address, o) == nil }) {
			t.Error("a URL that found no room is of no use when there is")
		}
	}
	ends[1]()
	ends[2]()
}

func TestRequestsThatNeverComeCostNoMoreThanTheirShareOfDescriptors(t *testing.T) {
	d := limitedDaemon(t, "crowded", "max_sessions = 3\n")
	c := d.run(t, shape{host: true})
	o := remotecommand.StreamOptions{Stdout: io.Discard}
	target, err := url.Parse(c.execURL(t, o, "true"))
	if err != nil {
		t.Fatal(err)
	}
	before := d.usage()
	const others, asked, some = 512, 700, 16
	var crowd []net.Conn
	for range asked {
		connection, err := net.Dial("tcp", target.Host)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, connection)
	}
	most := 0
	if !until(func() bool { most = max(most, d.usage().fds); return most >= before.fds+others }) {
		t.Errorf("%d descriptors before, %d with %d clients", before.fds, most, asked)
	}
	for range 20 { // each gives the other thread time for many more
		_ = c.says(t, "true")
		most = max(most, d.usage().fds)
	}
	if most > before.fds+others+some {
		t.Errorf("%d descriptors before, %d with %d clients", before.fds, most, asked)
	}
	for _, connection := range crowd {
		_ = connection.Close()
	}
	if err := transports[0].stream(context.Background(), c.execURL(t, o, "true"), o); err != nil {
		t.Errorf("after the crowd: %v", err)
	}
	d.settles(t, before, 16<<10)
}

func TestClientsThatSayNothingAreLetGoAndThoseThatPingAreNot(t *testing.T) {
	d := limitedDaemon(t, "idle", "idle_timeout = \"2s\"\n")
	c := d.run(t, shape{host: true, command: []string{"tail", "-f", "/dev/null"}})
	o := remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: io.Discard}
	open := func(command ...string) *gorilla.Conn {
		return (&tapped{}).websocket(t, c.execURL(t, o, command...), "v5.channel.k8s.io")
	}
	pings := open("cat")
	var pongs atomic.Int64
	pings.SetPongHandler(func(string) error { pongs.Add(1); return nil })
	heard := make(chan string, 1)
	go func() {
		_, message, err := pings.ReadMessage()
		if err != nil {
			message = []byte(err.Error())
		}
		heard <- string(message)
	}()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				_ = pings.WriteControl(gorilla.PingMessage, []byte("?"), time.Now().Add(patience))
			}
		}
	}()
	silent := open("sleep", "100000")
	_ = silent.SetReadDeadline(time.Now().Add(patience))
	if _, message, err := silent.ReadMessage(); err == nil || os.IsTimeout(err) {
		t.Errorf("a silent client is told %q, %v", message, err)
	}
	c.ended(t, "sleep")
	if log, _ := os.ReadFile(filepath.Join(d.dir, "berthd.log")); !strings.Contains(string(log), "nothing was heard of the client for 2 s") {
		t.Error("the log does not say why")
	}
	_ = pings.WriteMessage(gorilla.BinaryMessage, []byte("\x00still here"))
	if answer := <-heard; answer != "\x01still here" || pongs.Load() == 0 {
		t.Errorf("the client that pings hears %q, and %d pongs", answer, pongs.Load())
	}
}

func TestRequestsOfSPDYPingsAreAnswered(t *testing.T) {
	c := target.run(t, shape{})
	connection := upgraded(t, c.execURL(t, remotecommand.StreamOptions{Stdout: io.Discard}, "true"))
	ping := "\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07"
	_, _ = io.WriteString(connection, ping)
	answer := make([]byte, len(ping))
	if _, err := io.ReadFull(connection, answer); err != nil || string(answer) != ping {
		t.Errorf("%q, %v", answer, err)
	}
}
