// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	clientspdy "k8s.io/client-go/transport/spdy"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// serve runs a pod with the servers of our program.
func (d *daemon) serve(t *testing.T, arguments ...string) container {
	t.Helper()
	c := d.run(t, shape{command: append([]string{"/inside"}, arguments...)})
	c.listening(t)
	return c
}

func (c container) listening(t *testing.T) {
	t.Helper()
	if !until(func() bool { return strings.Contains(c.log(t), "listening") }) {
		t.Fatal(c.log(t))
	}
}

func forwardSPDY(address *url.URL) (httpstream.Dialer, error) {
	around, upgrader, err := clientspdy.RoundTripperFor(&rest.Config{TLSClientConfig: tlsConfig})
	if err != nil {
		return nil, err
	}
	return clientspdy.NewDialer(upgrader, &http.Client{Transport: around}, "POST", address), nil
}

func forwardTunnel(address *url.URL) (httpstream.Dialer, error) {
	return portforward.NewSPDYOverWebsocketDialer(address, &rest.Config{TLSClientConfig: tlsConfig})
}

var forwards = []struct {
	name string
	dial func(*url.URL) (httpstream.Dialer, error)
}{{"SPDY", forwardSPDY}, {"WebSocket", forwardTunnel}}

// forward opens a session for `ports` and returns the local addresses.
func (c container) forward(t *testing.T, dial func(*url.URL) (httpstream.Dialer, error), errs io.Writer, ports ...int) []string {
	t.Helper()
	reply, err := c.daemon.runtime.PortForward(context.Background(), &cri.PortForwardRequest{PodSandboxId: c.pod})
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(reply.Url)
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	var wanted []string
	for _, port := range ports {
		wanted = append(wanted, fmt.Sprintf("0:%d", port))
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, wanted, stop, ready, io.Discard, errs)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- forwarder.ForwardPorts() }()
	t.Cleanup(func() { close(stop); <-over })
	select {
	case <-ready:
	case err := <-over:
		over <- err
		t.Fatal(err)
	}
	local, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, port := range local {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port.Local))
	}
	return addresses
}

// exchange sends `size` bytes through and checks that they come back.
func exchange(address string, seed, size int64) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	sent, got := sha256.New(), sha256.New()
	failed := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, io.TeeReader(io.LimitReader(rand.New(rand.NewSource(seed)), size), sent))
		if err == nil {
			err = connection.(*net.TCPConn).CloseWrite()
		}
		failed <- err
	}()
	if _, err := io.Copy(got, connection); err != nil {
		return err
	}
	if err := <-failed; err != nil {
		return err
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		return fmt.Errorf("what came back is not what was sent")
	}
	return nil
}

func TestForwardReachesThePodByIPv4AndByIPv6(t *testing.T) {
	for _, host := range []bool{false, true} {
		c := target.run(t, shape{host: host, command: []string{"/inside", "echo", "127.0.0.1:7001", "[::1]:7002"}})
		c.listening(t)
		for _, via := range forwards {
			t.Run(fmt.Sprintf("%s, host network %v", via.name, host), func(t *testing.T) {
				for _, local := range c.forward(t, via.dial, io.Discard, 7001, 7002) {
					if err := exchange(local, 3, 100000); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func TestForwardHalfCloses(t *testing.T) {
	c := target.serve(t, "digest", ":7001")
	for _, via := range forwards {
		t.Run(via.name, func(t *testing.T) {
			local := c.forward(t, via.dial, io.Discard, 7001)[0]
			connection, err := net.Dial("tcp", local)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			_, _ = io.WriteString(connection, "hello")
			_ = connection.(*net.TCPConn).CloseWrite()
			answer, err := io.ReadAll(connection)
			if want := fmt.Sprintf("%x", sha256.Sum256([]byte("hello"))); err != nil || string(answer) != want {
				t.Errorf("%q, %v", answer, err)
			}
		})
	}
}

func TestForwardOutlivesAPortThatNobodyServes(t *testing.T) {
	c := target.serve(t, "echo", ":7001")
	for _, via := range forwards {
		t.Run(via.name, func(t *testing.T) {
			// On the wire, since client-go's own forwarder hangs up after an error.
			reply, err := c.daemon.runtime.PortForward(context.Background(), &cri.PortForwardRequest{PodSandboxId: c.pod})
			if err != nil {
				t.Fatal(err)
			}
			address, _ := url.Parse(reply.Url)
			dialer, err := via.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			open := func(id, port string) (data, errs httpstream.Stream) {
				headers := http.Header{"Streamtype": {"error"}, "Port": {port}, "Requestid": {id}}
				if errs, err = connection.CreateStream(headers); err != nil {
					t.Fatal(err)
				}
				errs.Close()
				headers.Set("Streamtype", "data")
				if data, err = connection.CreateStream(headers); err != nil {
					t.Fatal(err)
				}
				return data, errs
			}
			_, errs := open("1", "7999")
			words, _ := io.ReadAll(errs)
			if !strings.Contains(string(words), "7999") || !strings.Contains(string(words), "refused") {
				t.Errorf("the error says %q", words)
			}
			data, errs := open("2", "7001")
			_, _ = io.WriteString(data, "hello")
			data.Close()
			answer, err := io.ReadAll(data)
			if string(answer) != "hello" {
				t.Errorf("%q, %v", answer, err)
			}
			if words, _ := io.ReadAll(errs); len(words) != 0 {
				t.Errorf("the error says %q", words)
			}
		})
	}
}

func TestForwardCarriesAGibibyteOverManyConnections(t *testing.T) {
	c := target.serve(t, "echo", ":7001")
	const connections = 32
	each := int64(sized(1<<20, 1<<30/connections))
	for _, via := range forwards {
		t.Run(via.name, func(t *testing.T) {
			before := target.usage()
			t.Run("all", func(t *testing.T) {
				local := c.forward(t, via.dial, io.Discard, 7001)[0]
				var all sync.WaitGroup
				for i := range connections {
					all.Add(1)
					go func() {
						defer all.Done()
						if err := exchange(local, int64(i), each); err != nil {
							t.Errorf("connection %d: %v", i, err)
						}
					}()
				}
				all.Wait()
			})
			target.settles(t, before, 32<<10)
		})
	}
}
