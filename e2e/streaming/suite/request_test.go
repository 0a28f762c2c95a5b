// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestRequestsAreCheckedWhenTheURLIsAskedFor(t *testing.T) {
	c := target.run(t, shape{})
	ctx := context.Background()
	for _, wrong := range []struct {
		request *cri.ExecRequest
		code    codes.Code
	}{
		{&cri.ExecRequest{ContainerId: "", Cmd: []string{"x"}, Stdout: true}, codes.InvalidArgument},
		{&cri.ExecRequest{ContainerId: c.id, Cmd: []string{"x"}}, codes.InvalidArgument},
		{&cri.ExecRequest{ContainerId: c.id, Stdout: true}, codes.InvalidArgument},
		{&cri.ExecRequest{ContainerId: c.id, Cmd: []string{"x"}, Stdout: true, Stderr: true, Tty: true}, codes.InvalidArgument},
		{&cri.ExecRequest{ContainerId: "0123456789", Cmd: []string{"x"}, Stdout: true}, codes.NotFound},
	} {
		if _, err := c.daemon.runtime.Exec(ctx, wrong.request); status.Code(err) != wrong.code {
			t.Errorf("%v: %v", wrong.request, err)
		}
	}
	if _, err := c.daemon.runtime.Attach(ctx, &cri.AttachRequest{ContainerId: c.id, Stdout: true, Tty: true}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("attach with a terminal that is not there: %v", err)
	}
	if _, err := c.daemon.runtime.PortForward(ctx, &cri.PortForwardRequest{PodSandboxId: "0123456789"}); status.Code(err) != codes.NotFound {
		t.Errorf("port-forward to no pod: %v", err)
	}
	if err := c.daemon.runtime.StopContainer(ctx, c.id, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.daemon.runtime.Exec(ctx, &cri.ExecRequest{ContainerId: c.id, Cmd: []string{"x"}, Stdout: true}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("exec in what has ended: %v", err)
	}
}

// ask sends a request and returns the answer.
func ask(t *testing.T, address, method string, headers http.Header) *http.Response {
	t.Helper()
	request, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = headers
	reply, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reply.Body.Close() })
	return reply
}

func TestRequestsForUpgradesAreAnsweredWithReasons(t *testing.T) {
	c := target.run(t, shape{})
	o := remotecommand.StreamOptions{Stdout: io.Discard}
	spdyAsk := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}}
	offer := spdyAsk.Clone()
	offer.Set("X-Stream-Protocol-Version", "v4.channel.k8s.io")
	address := c.execURL(t, o, "true")

	for _, wrong := range []struct {
		name, address, method string
		headers               http.Header
		code                  int
	}{
		{"no upgrade", address, "GET", http.Header{}, 400},
		{"no protocol offered", address, "POST", spdyAsk, 400},
		{"another method", address, "PUT", offer, 405},
		{"an unknown token", address + "x", "POST", offer, 404},
		{"an unknown path", strings.Replace(address, "/exec/", "/run/", 1), "POST", offer, 404},
	} {
		if reply := ask(t, wrong.address, wrong.method, wrong.headers); reply.StatusCode != wrong.code {
			t.Errorf("%s: %s", wrong.name, reply.Status)
		}
	}
	unknown := spdyAsk.Clone()
	unknown.Set("X-Stream-Protocol-Version", "v9.channel.k8s.io")
	reply := ask(t, address, "POST", unknown)
	if reply.StatusCode != 403 || reply.Header.Get("X-Accepted-Stream-Protocol-Versions") != "v4.channel.k8s.io" {
		t.Errorf("an unknown protocol: %s %v", reply.Status, reply.Header)
	}
	// None of that has used the URL up; its use does.
	if err := (transport{"", spdy()}).stream(context.Background(), address, o); err != nil {
		t.Error(err)
	}
	if reply := ask(t, address, "POST", offer); reply.StatusCode != 404 {
		t.Errorf("a second use: %s", reply.Status)
	}
}

// dial connects to the streaming server for bytes of our own.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := net.Dial("tcp", target.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func upgraded(t *testing.T, address string) net.Conn {
	t.Helper()
	connection := dial(t, address)
	target, _ := url.Parse(address)
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"+
		"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n", target.Path)
	reply, err := http.ReadResponse(bufio.NewReader(io.LimitReader(connection, 300)), nil)
	if err != nil || reply.StatusCode != 101 {
		t.Fatal(reply, err)
	}
	return connection
}

// closes waits until the other side hangs up.
func closes(t *testing.T, connection net.Conn) {
	t.Helper()
	_ = connection.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, connection); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("it does not close: %v", err)
	}
}

func TestRequestsThatAreMalformedEndTheirConnectionAlone(t *testing.T) {
	c := target.run(t, shape{})
	before := target.usage()
	o := remotecommand.StreamOptions{Stdout: io.Discard}
	address := c.execURL(t, o, "true") // for its host and port

	t.Run("no HTTP", func(t *testing.T) {
		connection := dial(t, address)
		fmt.Fprint(connection, "\x16\x03\x01 this is no request\r\n\r\n")
		closes(t, connection)
	})
	t.Run("an endless head", func(t *testing.T) {
		connection := dial(t, address)
		fmt.Fprint(connection, "GET /exec/x HTTP/1.1\r\n")
		for range 1024 {
			if _, err := fmt.Fprintf(connection, "X: %s\r\n", strings.Repeat("x", 1024)); err != nil {
				break
			}
		}
		closes(t, connection)
	})
	t.Run("a head that drips", func(t *testing.T) {
		connection := dial(t, address)
		begun := time.Now()
		go func() {
			for {
				if _, err := fmt.Fprint(connection, "G"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		closes(t, connection)
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("it may drip for %v", took)
		}
	})
	for name, bytes := range map[string]string{
		"another version of SPDY":      "\x80\x02\x00\x01\x00\x00\x00\x0a0123456789",
		"a control frame of 16 MiB":    "\x80\x03\x00\x01\x00\xff\xff\xff",
		"data for no stream":           "\x00\x00\x00\x09\x00\x00\x00\x01x",
		"headers that do not inflate":  "\x80\x03\x00\x01\x00\x00\x00\x0e\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00junk",
		"a stream with a server's id":  "\x80\x03\x00\x01\x00\x00\x00\x0a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00",
		"the text of an HTTP response": "HTTP/1.1 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			connection := upgraded(t, c.execURL(t, o, "sleep", "1000"))
			_, _ = io.WriteString(connection, bytes)
			closes(t, connection)
		})
	}
	t.Run("streams that do not come", func(t *testing.T) {
		closes(t, upgraded(t, c.execURL(t, o, "sleep", "1000")))
	})
	if out, _, how := c.exec(t, transport{"", spdy()}, nil, "echo", "fine"); how != nil || out != "fine\n" {
		t.Errorf("%q, %v", out, how)
	}
	target.settles(t, before, 8<<10)
}

func TestRequestsSpeakTheOlderWebSocketProtocols(t *testing.T) {
	c := target.run(t, shape{})
	for _, protocol := range []string{"", "channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io", "v4.base64.channel.k8s.io"} {
		t.Run(protocol, func(t *testing.T) {
			in := strings.NewReader("")
			o := remotecommand.StreamOptions{Stdin: in, Stdout: io.Discard, Stderr: io.Discard}
			var offered []string
			if protocol != "" {
				offered = []string{protocol}
			}
			client := (&tapped{}).websocket(t, c.execURL(t, o, "sh", "-c", "read line; echo got $line; exit 3"), offered...)
			if client.Subprotocol() != protocol {
				t.Errorf("agreed on %q", client.Subprotocol())
			}
			text := strings.Contains(protocol, "base64")
			read := func() (byte, string) {
				_, message, err := client.ReadMessage()
				if err != nil || len(message) == 0 {
					return 255, fmt.Sprint(err)
				}
				if !text {
					return message[0], string(message[1:])
				}
				decoded, err := base64.StdEncoding.DecodeString(string(message[1:]))
				if err != nil {
					t.Error(err)
				}
				return message[0] - '0', string(decoded)
			}
			if channel, first := read(); channel != 1 || first != "" {
				t.Errorf("the first message is %d %q", channel, first)
			}
			if text {
				_ = client.WriteMessage(gorilla.TextMessage, []byte("0"+base64.StdEncoding.EncodeToString([]byte("hello\n"))))
			} else {
				_ = client.WriteMessage(gorilla.BinaryMessage, []byte("\x00hello\n"))
			}
			if channel, answer := read(); channel != 1 || answer != "got hello\n" {
				t.Errorf("%d %q", channel, answer)
			}
			if channel, outcome := read(); channel != 3 || !strings.Contains(outcome, "3") || strings.Contains(outcome, "ExitCode") != strings.HasPrefix(protocol, "v4") {
				t.Errorf("%d %q", channel, outcome)
			}
			if _, _, err := client.ReadMessage(); !gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
				t.Error(err)
			}
		})
	}
}

func TestRequestsForwardPortsOverChannels(t *testing.T) {
	c := target.serve(t, "echo", ":7001")
	address := func(ports ...int32) string {
		reply, err := c.daemon.runtime.PortForward(context.Background(), &cri.PortForwardRequest{PodSandboxId: c.pod, Port: ports})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Url
	}
	for _, protocol := range []string{"", "v4.channel.k8s.io", "v5.channel.k8s.io", "v4.base64.channel.k8s.io"} {
		t.Run(protocol, func(t *testing.T) {
			var offered []string
			if protocol != "" {
				offered = []string{protocol}
			}
			client := (&tapped{}).websocket(t, address(7001, 7999), offered...)
			_ = client.SetReadDeadline(time.Now().Add(patience))
			got := map[byte]string{}
			text := strings.Contains(protocol, "base64")
			if text {
				_ = client.WriteMessage(gorilla.TextMessage, []byte("0"+base64.StdEncoding.EncodeToString([]byte("hello"))))
			} else {
				_ = client.WriteMessage(gorilla.BinaryMessage, []byte("\x00hello"))
			}
			for len(got[0]) < 7 || !strings.Contains(got[3], "refused") {
				_, message, err := client.ReadMessage()
				if err != nil {
					t.Fatalf("%v; got %q", err, got)
				}
				channel, part := message[0], message[1:]
				if text {
					channel -= '0'
					if part, err = base64.StdEncoding.DecodeString(string(part)); err != nil {
						t.Fatal(err)
					}
				}
				got[channel] += string(part)
			}
			for channel, port := range map[byte]uint16{0: 7001, 1: 7001, 2: 7999, 3: 7999} {
				if len(got[channel]) < 2 || binary.LittleEndian.Uint16([]byte(got[channel])) != port {
					t.Errorf("channel %d begins with %q", channel, got[channel])
				}
			}
			if got[0][2:] != "hello" {
				t.Errorf("%q came back", got[0][2:])
			}
			if protocol != "v5.channel.k8s.io" {
				return
			}
			// Its own: the end of one direction, answered with the end of the other.
			_ = client.WriteMessage(gorilla.BinaryMessage, []byte("\xff\x00"))
			if _, message, err := client.ReadMessage(); string(message) != "\xff\x00" {
				t.Errorf("the end of the input is answered with %q, %v", message, err)
			}
		})
	}
	t.Run("more ports than channels", func(t *testing.T) {
		client := (&tapped{}).websocket(t, address(7001, 7001, 7001, 7001, 7001, 7001), "v4.base64.channel.k8s.io")
		_ = client.SetReadDeadline(time.Now().Add(patience))
		if _, message, err := client.ReadMessage(); err == nil || os.IsTimeout(err) {
			t.Errorf("it says %q", message)
		}
		_, err := c.daemon.runtime.PortForward(context.Background(), &cri.PortForwardRequest{PodSandboxId: c.pod, Port: make([]int32, 128)})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "128 ports") {
			t.Errorf("128 ports: %v", err)
		}
	})
}
