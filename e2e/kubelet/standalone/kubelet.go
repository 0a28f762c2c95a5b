// SPDX-License-Identifier: Apache-2.0

// Package standalone runs a kubelet on a CRI endpoint, in its own cgroup sub-tree and mount namespace, and puts the
// host back afterwards: without an API server (static pods from a folder), or as the node of one.
package standalone

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
)

// NodeName is kubelet's name for itself; static pods are called <name>-<NodeName>.
const NodeName = "node"

// Options of one kubelet.
type Options struct {
	Binary     string        // kubelet 1.36
	Endpoint   string        // unix:///...
	Root       string        // its root-dir, configuration, pod logs and log; made when missing
	Manifests  string        // folder of static pods; made when missing
	CgroupRoot string        // an existing sub-tree in every controller
	MaxBackOff time.Duration // crashLoopBackOff.maxContainerRestartPeriod; 0: kubelet's default (300 s)
	Port       int           // read-only port on 127.0.0.1; /healthz is one below (0: 10255 and 10248)

	Kubeconfig string         // of the API server whose node this is; "" means none: static pods only
	Settings   map[string]any // more keys of kubelet's configuration
}

// Kubelet is a running kubelet.
type Kubelet struct {
	Options
	LogFile string
	PodLogs string
	cmd     *exec.Cmd
	log     *os.File
	done    chan struct{}
	client  http.Client
}

// What every standalone kubelet of this repository is told (tools/demo reads the file too); config() adds what
// belongs to one run.
//
//go:embed config.json
var baseConfig []byte

func (o Options) config() (map[string]any, error) {
	c := map[string]any{}
	if err := json.Unmarshal(baseConfig, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	healthz := 10248
	if o.Port != 10255 {
		healthz = o.Port - 1
	}
	c["containerRuntimeEndpoint"] = o.Endpoint
	c["staticPodPath"] = o.Manifests
	c["podLogsDir"] = filepath.Join(o.Root, "podlogs")
	c["volumePluginDir"] = filepath.Join(o.Root, "volume-plugins")
	c["port"] = o.Port + 1000
	c["readOnlyPort"] = o.Port
	c["healthzPort"] = healthz
	c["cgroupRoot"] = o.CgroupRoot
	if o.MaxBackOff > 0 {
		c["crashLoopBackOff"] = map[string]any{"maxContainerRestartPeriod": o.MaxBackOff.String()}
	}
	maps.Copy(c, o.Settings)
	return c, nil
}

// Start starts kubelet and waits until its /healthz and /pods answer. On an error nothing is left running.
func Start(o Options) (*Kubelet, error) {
	if o.Port == 0 {
		o.Port = 10255
	}
	for _, d := range []string{o.Root, o.Manifests, filepath.Join(o.Root, "podlogs")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	values, err := o.config()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(values, "", " ")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(o.Root, "kubelet.json")
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return nil, err
	}
	k := &Kubelet{Options: o, LogFile: filepath.Join(o.Root, "kubelet.log"),
		PodLogs: filepath.Join(o.Root, "podlogs"), done: make(chan struct{}),
		client: http.Client{Timeout: 10 * time.Second}}
	if k.log, err = os.OpenFile(k.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	arguments := []string{"--config=" + config, "--root-dir=" + filepath.Join(o.Root, "root"),
		"--cert-dir=" + filepath.Join(o.Root, "pki"), "--hostname-override=" + NodeName, "-v=2"}
	if address := NodeAddress(); address != "" {
		arguments = append(arguments, "--node-ip="+address)
	}
	if o.Kubeconfig != "" {
		arguments = append(arguments, "--kubeconfig="+o.Kubeconfig)
	}
	k.cmd = exec.Command(o.Binary, arguments...)
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start kubelet: %w", err)
	}
	go func() { _ = k.cmd.Wait(); close(k.done) }()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err = k.Pods(); err == nil {
			return k, nil
		}
		select {
		case <-k.done:
			return nil, fmt.Errorf("kubelet ended while starting (%v); its log ends:\n%s",
				k.cmd.ProcessState, Tail(k.LogFile, 40))
		default:
		}
		if time.Now().After(deadline) {
			k.Stop()
			return nil, fmt.Errorf("kubelet does not answer after 2 min (%w); its log ends:\n%s",
				err, Tail(k.LogFile, 40))
		}
	}
}

// NodeAddress is an address of this host. Without --node-ip kubelet asks DNS for its own name within its one
// loop for all pods: where no server answers, every pod waits ten seconds each time.
func NodeAddress() string {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	return ""
}

// Get reads a path of the read-only port ("/pods").
func (k *Kubelet) Get(path string) ([]byte, error) {
	reply, err := k.client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", k.Port, path))
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("kubelet answers %s to %s", reply.Status, path)
	}
	return body, err
}

// Pods is what kubelet knows of its pods, with their status.
func (k *Kubelet) Pods() ([]v1.Pod, error) {
	body, err := k.Get("/pods")
	if err != nil {
		return nil, err
	}
	var list v1.PodList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Put writes (or replaces) the manifest of a static pod, whole or not at all.
func (k *Kubelet) Put(pod *v1.Pod) error {
	text, err := json.Marshal(pod)
	if err != nil {
		return err
	}
	// A name that starts with a dot is no manifest for kubelet.
	hidden := filepath.Join(k.Manifests, "."+pod.Name)
	if err := os.WriteFile(hidden, text, 0o644); err != nil {
		return err
	}
	return os.Rename(hidden, k.manifest(pod.Name))
}

// Delete removes the manifest of a static pod.
func (k *Kubelet) Delete(name string) error { return os.Remove(k.manifest(name)) }

func (k *Kubelet) manifest(name string) string { return filepath.Join(k.Manifests, name+".json") }

// Ended is closed when the process is gone.
func (k *Kubelet) Ended() <-chan struct{} { return k.done }

// Pid of the process.
func (k *Kubelet) Pid() int { return k.cmd.Process.Pid }

// Stop ends kubelet; its pods go on.
func (k *Kubelet) Stop() {
	defer k.log.Close()
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case <-k.done:
	case <-ctx.Done():
		_ = k.cmd.Process.Kill()
		<-k.done
	}
}

// Tail is the end of a text file, for a failure's message.
func Tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
