// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// transport makes an executor for a URL as a client of Kubernetes does.
type transport struct {
	name string
	dial func(address string) (remotecommand.Executor, error)
}

var tlsConfig = rest.TLSClientConfig{Insecure: true}

func spdy(protocols ...string) func(string) (remotecommand.Executor, error) {
	return func(address string) (remotecommand.Executor, error) {
		target, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		config := &rest.Config{TLSClientConfig: tlsConfig}
		if len(protocols) == 0 {
			return remotecommand.NewSPDYExecutor(config, "POST", target)
		}
		return spdyFor(target, protocols...)
	}
}

func websocket(protocols ...string) func(string) (remotecommand.Executor, error) {
	return func(address string) (remotecommand.Executor, error) {
		config := &rest.Config{TLSClientConfig: tlsConfig}
		if len(protocols) == 0 {
			return remotecommand.NewWebSocketExecutor(config, "GET", address)
		}
		return remotecommand.NewWebSocketExecutorForProtocols(config, "GET", address, protocols...)
	}
}

// transports are those that today's clients speak.
var transports = []transport{{"SPDY", spdy()}, {"WebSocket", websocket()}}

func onEach(t *testing.T, test func(t *testing.T, via transport)) {
	for _, via := range transports {
		t.Run(via.name, func(t *testing.T) { test(t, via) })
	}
}

func (c container) execURL(t *testing.T, o remotecommand.StreamOptions, command ...string) string {
	t.Helper()
	reply, err := c.daemon.runtime.Exec(context.Background(), &cri.ExecRequest{ContainerId: c.id, Cmd: command, Tty: o.Tty,
		Stdin: o.Stdin != nil, Stdout: o.Stdout != nil, Stderr: o.Stderr != nil})
	if err != nil {
		t.Fatal(err)
	}
	return reply.Url
}

func (c container) attachURL(t *testing.T, o remotecommand.StreamOptions) string {
	t.Helper()
	reply, err := c.daemon.runtime.Attach(context.Background(), &cri.AttachRequest{ContainerId: c.id, Tty: o.Tty,
		Stdin: o.Stdin != nil, Stdout: o.Stdout != nil, Stderr: o.Stderr != nil})
	if err != nil {
		t.Fatal(err)
	}
	return reply.Url
}

func (via transport) stream(ctx context.Context, address string, o remotecommand.StreamOptions) error {
	executor, err := via.dial(address)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, o)
}

// exec runs a command to its end.
func (c container) exec(t *testing.T, via transport, stdin io.Reader, command ...string) (out, err string, how error) {
	t.Helper()
	var outs, errs bytes.Buffer
	o := remotecommand.StreamOptions{Stdin: stdin, Stdout: &outs, Stderr: &errs}
	how = via.stream(context.Background(), c.execURL(t, o, command...), o)
	return outs.String(), errs.String(), how
}

// screen is what a terminal shows: written by the session, looked at by the test.
type screen struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}

func (s *screen) shows(t *testing.T, what string) {
	t.Helper()
	if !until(func() bool { return bytes.Contains([]byte(s.String()), []byte(what)) }) {
		t.Fatalf("%q is not shown; shown is %q", what, s.String())
	}
}

// sizes feeds a terminal's sizes.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}
