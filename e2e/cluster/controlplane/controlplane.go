// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler as child processes on
// one address of this network namespace, with their files in one folder.
package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"berth.example/e2e/kubelet/standalone"
)

// Options of one control plane.
type Options struct {
	Bin     string // folder with the four programs
	Dir     string // state, keys, logs; made when missing
	Address string // of this node, not loopback: the API server publishes it
}

// ControlPlane is a running one. Whoever has the kubeconfig may do everything: authorization is not under test.
type ControlPlane struct {
	Options
	Kubeconfig string
	server     string
	parts      []*part
}

type part struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

const token = "berth-test-token"

// Start starts the four and waits until each says that it is ready. On an error nothing is left running.
func Start(o Options) (*ControlPlane, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	c := &ControlPlane{Options: o, Kubeconfig: filepath.Join(o.Dir, "kubeconfig"),
		server: fmt.Sprintf("https://%s:6443", o.Address)}
	if err := c.start(); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *ControlPlane) start() error {
	begin := time.Now()
	key, pki := c.file("service-account.key"), c.file("pki")
	tokens := token + `,admin,1,system:masters` + "\n"
	if err := errors.Join(writeKey(key), os.WriteFile(c.file("tokens"), []byte(tokens), 0o600)); err != nil {
		return err
	}
	const etcd = "http://127.0.0.1:2379"
	if err := c.run("etcd", "--data-dir="+c.file("etcd"), "--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := c.ready("etcd", etcd+"/readyz"); err != nil {
		return err
	}
	if err := c.run("kube-apiserver", "--etcd-servers="+etcd, "--bind-address="+c.Address, "--advertise-address="+c.Address,
		"--secure-port=6443", "--cert-dir="+pki, "--service-cluster-ip-range=10.0.0.0/24", "--token-auth-file="+c.file("tokens"),
		"--authorization-mode=AlwaysAllow", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--kubelet-preferred-address-types=InternalIP", "--allow-privileged"); err != nil {
		return err
	}
	if err := c.ready("kube-apiserver", c.server+"/readyz"); err != nil {
		return err
	}
	// The certificate that the API server has made for itself carries its authority with it.
	if err := c.writeKubeconfig(filepath.Join(pki, "apiserver.crt")); err != nil {
		return err
	}
	if err := c.run("kube-controller-manager", "--kubeconfig="+c.Kubeconfig, "--leader-elect=false", "--cert-dir="+pki,
		"--bind-address=127.0.0.1", "--service-account-private-key-file="+key,
		"--root-ca-file="+filepath.Join(pki, "apiserver.crt")); err != nil {
		return err
	}
	if err := c.run("kube-scheduler", "--kubeconfig="+c.Kubeconfig, "--leader-elect=false", "--cert-dir="+pki,
		"--bind-address=127.0.0.1"); err != nil {
		return err
	}
	if err := c.ready("kube-controller-manager", "https://127.0.0.1:10257/healthz"); err != nil {
		return err
	}
	if err := c.ready("kube-scheduler", "https://127.0.0.1:10259/healthz"); err != nil {
		return err
	}
	fmt.Printf("control plane: %s, up in %.1f s\n", c.server, time.Since(begin).Seconds())
	return nil
}

func (c *ControlPlane) file(name string) string { return filepath.Join(c.Dir, name) }

func (c *ControlPlane) run(name string, arguments ...string) error {
	p := &part{name: name, log: c.file(name + ".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(filepath.Join(c.Bin, name), arguments...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Dir, log, log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	c.parts = append(c.parts, p)
	return nil
}

// ready waits until a GET of url says 200.
func (c *ControlPlane) ready(name, url string) error {
	p := c.part(name)
	client := http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		reply, err := client.Do(request)
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(reply.Status)
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting (%v); its log ends:\n%s", name, p.cmd.ProcessState,
				standalone.Tail(p.log, 30))
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after 3 min (%w); its log ends:\n%s", name, err, standalone.Tail(p.log, 30))
		}
	}
}

func (c *ControlPlane) part(name string) *part {
	for _, p := range c.parts {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Ended names the parts that are not running any more, "" when all are.
func (c *ControlPlane) Ended() string {
	var names []string
	for _, p := range c.parts {
		select {
		case <-p.done:
			names = append(names, p.name)
		default:
		}
	}
	return strings.Join(names, ", ")
}

// Pids of the parts.
func (c *ControlPlane) Pids() []int {
	var pids []int
	for _, p := range c.parts {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}

// Log is the end of one part's log, for a failure's message.
func (c *ControlPlane) Log(name string, lines int) string {
	return standalone.Tail(c.file(name+".log"), lines)
}

// Stop ends the parts, the last started first.
func (c *ControlPlane) Stop() {
	for i := len(c.parts) - 1; i >= 0; i-- {
		p := c.parts[i]
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		// The API server takes its time for open watches; nobody needs its last words.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		select {
		case <-p.done:
		case <-ctx.Done():
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		cancel()
	}
	c.parts = nil
}
