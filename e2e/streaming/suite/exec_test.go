// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

func exitCode(err error) int {
	var exited exec.CodeExitError
	if errors.As(err, &exited) {
		return exited.Code
	}
	return -1
}

func TestExecTellsOutputsAndExitCodes(t *testing.T) {
	c := target.run(t, shape{})
	onEach(t, func(t *testing.T, via transport) {
		out, err, how := c.exec(t, via, nil, "sh", "-c", "echo out; echo err >&2")
		if how != nil || out != "out\n" || err != "err\n" {
			t.Errorf("%q, %q, %v", out, err, how)
		}
		for _, code := range []int{1, 7, 137, 255} {
			if _, _, how := c.exec(t, via, nil, "sh", "-c", fmt.Sprint("exit ", code)); exitCode(how) != code {
				t.Errorf("exit %d reads %v", code, how)
			}
		}
		if _, _, how := c.exec(t, via, nil, "sh", "-c", "kill -9 $$"); exitCode(how) != 137 {
			t.Errorf("SIGKILL reads %v", how)
		}
		if _, _, how := c.exec(t, via, nil, "no-such-program"); how == nil || !strings.Contains(how.Error(), "no-such-program") {
			t.Errorf("a missing program reads %v", how)
		}
	})
}

func TestExecSpeaksTheOlderProtocols(t *testing.T) {
	c := target.run(t, shape{})
	for _, protocol := range []string{"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"} {
		t.Run("SPDY "+protocol, func(t *testing.T) {
			via := transport{protocol, spdy(protocol)}
			if out, _, how := c.exec(t, via, nil, "echo", "hello"); how != nil || out != "hello\n" {
				t.Errorf("%q, %v", out, how)
			}
			// Before v4 there is no exit code, but words; v1's client leaves without waiting for them.
			if protocol == "channel.k8s.io" {
				return
			}
			if _, _, how := c.exec(t, via, nil, "sh", "-c", "exit 3"); how == nil || !strings.Contains(how.Error(), "3") {
				t.Errorf("exit 3 reads %v", how)
			}
		})
	}
}

func TestExecHalfClosesStdin(t *testing.T) {
	c := target.run(t, shape{})
	onEach(t, func(t *testing.T, via transport) {
		out, _, how := c.exec(t, via, strings.NewReader("one\ntwo\n"), "sh", "-c", "cat; echo end")
		if how != nil || out != "one\ntwo\nend\n" {
			t.Errorf("%q, %v", out, how)
		}
		// A command that reads nothing of a lot of input.
		_, _, how = c.exec(t, via, io.LimitReader(rand.New(rand.NewSource(1)), 8<<20), "sh", "-c", "exit 5")
		if exitCode(how) != 5 {
			t.Errorf("unread input: %v", how)
		}
	})
}

func TestExecHasATerminal(t *testing.T) {
	c := target.run(t, shape{})
	onEach(t, func(t *testing.T, via transport) {
		in, keys := io.Pipe()
		shown := &screen{}
		window := make(sizes, 4)
		window <- remotecommand.TerminalSize{Width: 101, Height: 31}
		o := remotecommand.StreamOptions{Stdin: in, Stdout: shown, Tty: true, TerminalSizeQueue: window}
		ended := make(chan error, 1)
		address := c.execURL(t, o, "sh")
		go func() { ended <- via.stream(context.Background(), address, o) }()
		say := func(text string) {
			if _, err := io.WriteString(keys, text); err != nil {
				t.Error(err)
			}
		}
		say("until [ \"$(stty size)\" = '31 101' ]; do sleep 0.02; done; echo fir''st\n")
		shown.shows(t, "first")
		window <- remotecommand.TerminalSize{Width: 77, Height: 22}
		say("until [ \"$(stty size)\" = '22 77' ]; do sleep 0.02; done; echo sec''ond\n")
		shown.shows(t, "second")
		say("tty; exit 9\n")
		if err := <-ended; exitCode(err) != 9 {
			t.Errorf("the shell ended with %v; shown: %q", err, shown)
		}
		close(window)
		shown.shows(t, "/dev/pts/")
	})
}

func TestExecCarriesAGibibyteThroughStdinAndStdout(t *testing.T) {
	c := target.run(t, shape{})
	size := int64(sized(64<<20, 1<<30))
	onEach(t, func(t *testing.T, via transport) {
		before := target.usage()
		sent, got := sha256.New(), sha256.New()
		source := io.TeeReader(io.LimitReader(rand.New(rand.NewSource(7)), size), sent)
		o := remotecommand.StreamOptions{Stdin: source, Stdout: got}
		if err := via.stream(context.Background(), c.execURL(t, o, "cat"), o); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%x", sent.Sum(nil)) != fmt.Sprintf("%x", got.Sum(nil)) {
			t.Error("what came back is not what was sent")
		}
		target.settles(t, before, 8<<10)
	})
}

func TestExecServesManySessionsAtOnce(t *testing.T) {
	c := target.run(t, shape{})
	sessions := sized(40, 200)
	onEach(t, func(t *testing.T, via transport) {
		before := target.usage()
		var all sync.WaitGroup
		begun := make(chan struct{}, sessions)
		goOn := make(chan struct{})
		for i := 0; i < sessions; i++ {
			in, keys := io.Pipe()
			shown := &screen{}
			o := remotecommand.StreamOptions{Stdin: in, Stdout: shown}
			address := c.execURL(t, o, "sh", "-c", fmt.Sprintf("echo ready; cat; exit %d", i%256))
			all.Add(2)
			go func() {
				defer all.Done()
				if err := via.stream(context.Background(), address, o); (i%256 == 0) != (err == nil) || i%256 != 0 && exitCode(err) != i%256 {
					t.Errorf("session %d: %v", i, err)
				}
				if want := fmt.Sprintf("ready\nline %d\n", i); shown.String() != want {
					t.Errorf("session %d shows %q", i, shown)
				}
			}()
			go func() {
				defer all.Done()
				shown.shows(t, "ready")
				begun <- struct{}{}
				<-goOn
				fmt.Fprintf(keys, "line %d\n", i)
				keys.Close()
			}()
		}
		for i := 0; i < sessions; i++ { // all of them are under way at the same moment
			<-begun
		}
		close(goOn)
		all.Wait()
		target.settles(t, before, 32<<10)
	})
}

func TestExecEndsWithItsProcessWhoeverHoldsItsOutput(t *testing.T) {
	c := target.run(t, shape{})
	onEach(t, func(t *testing.T, via transport) {
		out, _, how := c.exec(t, via, nil, "sh", "-c", "sleep 1000 & echo begun")
		if how != nil || out != "begun\n" {
			t.Errorf("%q, %v", out, how)
		}
	})
}

// Where cgroups are cheap: everywhere but on v2 with controllers. Nothing of it may stay.
func TestExecHasACgroupOfItsOwn(t *testing.T) {
	c := target.run(t, shape{})
	ofContainer := func() (found []string) {
		for _, mount := range hierarchies() {
			_ = filepath.WalkDir(mount+cgroup, func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.IsDir() && strings.Contains(path, c.id) {
					found = append(found, path)
				}
				return nil
			})
		}
		return found
	}
	before := ofContainer()
	if len(before) == 0 {
		t.Fatal("the container's cgroup is not found")
	}
	onEach(t, func(t *testing.T, via transport) {
		in, keys := io.Pipe()
		shown := &screen{}
		o := remotecommand.StreamOptions{Stdin: in, Stdout: shown}
		address := c.execURL(t, o, "sh", "-c", "cat /proc/self/cgroup; echo ready; cat")
		over := make(chan error, 1)
		go func() { over <- via.stream(context.Background(), address, o) }()
		shown.shows(t, "ready")
		during := ofContainer()
		if len(during) <= len(before) || !strings.Contains(shown.String(), "exec") {
			t.Errorf("cgroups %q before, %q during; the exec says %q", before, during, shown)
		}
		_ = keys.Close()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if !until(func() bool { return len(ofContainer()) == len(before) }) {
			t.Errorf("cgroups %q before, %q after", before, ofContainer())
		}
	})
}
