// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
	utilspdy "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/tools/remotecommand"
)

// spdyFor speaks the given protocols only.
func spdyFor(target *url.URL, protocols ...string) (remotecommand.Executor, error) {
	around, err := utilspdy.NewRoundTripper(nil)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutorForProtocols(around, around, "POST", target, protocols...)
}

// tapped is a SPDY client whose TCP connection the test can break.
type tapped struct {
	mutex      sync.Mutex
	connection *net.TCPConn
}

func (p *tapped) executor(address string) (remotecommand.Executor, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	around, err := utilspdy.NewRoundTripperWithConfig(utilspdy.RoundTripperConfig{UpgradeTransport: &http.Transport{DialContext: p.dial}})
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutorForTransports(around, around, "POST", target)
}

func (p *tapped) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		p.mutex.Lock()
		p.connection = connection.(*net.TCPConn)
		p.mutex.Unlock()
	}
	return connection, err
}

// vanish resets the connection, as a client's host does that was switched off and on.
func (p *tapped) vanish() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.connection != nil {
		_ = p.connection.SetLinger(0)
		_ = p.connection.Close()
	}
}

// ended waits until no process of that name is left in the container.
func (c container) ended(t *testing.T, name string) {
	t.Helper()
	if !until(func() bool { return c.says(t, "pgrep", "-x", name) == "" }) {
		t.Errorf("%s lives on: %s", name, c.says(t, "pgrep", "-x", name))
	}
}

func TestClientsThatVanishLeaveNothing(t *testing.T) {
	c := target.run(t, shape{command: []string{"tail", "-f", "/dev/null"}})
	vanish := func() {
		tap := &tapped{}
		in, shown := make(never), &screen{}
		o := remotecommand.StreamOptions{Stdin: in, Stdout: shown, Stderr: shown}
		executor, err := tap.executor(c.execURL(t, o, "sh", "-c", "echo ready; sleep 100000"))
		if err != nil {
			t.Error(err)
			return
		}
		over := make(chan struct{})
		go func() { _ = executor.StreamWithContext(context.Background(), o); close(over) }()
		shown.shows(t, "ready")
		tap.vanish()
		<-over
		close(in)
	}
	vanish() // what is made once is made
	c.ended(t, "sleep")
	before := target.usage()
	const atOnce = 8
	var all sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for range sized(48, 1000) {
		all.Add(1)
		turn <- struct{}{}
		go func() { defer all.Done(); vanish(); <-turn }()
	}
	all.Wait()
	c.ended(t, "sleep")
	target.settles(t, before, 16<<10)
}

// never is an input that says nothing until it is closed.
type never chan struct{}

func (n never) Read([]byte) (int, error) { <-n; return 0, context.Canceled }

// A client that goes while its input is held up by a command that does not read: its goodbye cannot arrive.
func TestClientsThatLeaveBehindUnreadInputAreSeen(t *testing.T) {
	c := target.run(t, shape{command: []string{"tail", "-f", "/dev/null"}})
	before := target.usage()
	for _, via := range []string{"SPDY", "WebSocket"} {
		t.Run(via, func(t *testing.T) {
			tap, shown := &tapped{}, &screen{}
			o := remotecommand.StreamOptions{Stdin: zeros{}, Stdout: shown}
			address := c.execURL(t, o, "sh", "-c", "echo ready; sleep 100000")
			if via == "SPDY" {
				executor, err := tap.executor(address)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _ = executor.StreamWithContext(context.Background(), o) }()
				shown.shows(t, "ready")
			} else {
				client := tap.websocket(t, address, "v5.channel.k8s.io")
				if _, first, err := client.ReadMessage(); err != nil || string(first) != "\x01ready\n" {
					t.Fatalf("%q, %v", first, err)
				}
				go func() {
					for client.WriteMessage(gorilla.BinaryMessage, make([]byte, 32<<10)) == nil {
					}
				}()
			}
			// Until the buffers on the way are full.
			last := -1
			if !until(func() bool {
				time.Sleep(200 * time.Millisecond)
				now := tap.unsent(t)
				full := now > 0 && now == last
				last = now
				return full
			}) {
				t.Fatal("the input is not held up")
			}
			tap.close()
			c.ended(t, "sleep")
		})
	}
	target.settles(t, before, 16<<10)
}

// unsent is what waits in the client's kernel.
func (p *tapped) unsent(t *testing.T) int {
	t.Helper()
	raw, err := p.connection.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var waiting int
	_ = raw.Control(func(fd uintptr) { waiting, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err != nil {
		t.Fatal(err)
	}
	return waiting
}

// close is what the kernel does for a client that is killed.
func (p *tapped) close() { _ = p.connection.Close() }

func (p *tapped) websocket(t *testing.T, address string, protocols ...string) *gorilla.Conn {
	t.Helper()
	dialer := gorilla.Dialer{NetDialContext: p.dial, Subprotocols: protocols}
	client, _, err := dialer.Dial(strings.Replace(address, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
