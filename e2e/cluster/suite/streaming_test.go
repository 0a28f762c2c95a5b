// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// needsStreaming skips the test on a runtime without a streaming server.
func needsStreaming(t *testing.T) {
	t.Helper()
	_, err := env.Runtime.Client.Exec(t.Context(), &cri.ExecRequest{ContainerId: "none", Cmd: []string{"true"}, Stdout: true})
	if status.Code(err) == codes.Unimplemented {
		env.Skip(t, "the runtime has no streaming server: Exec says %q", status.Convert(err).Message())
	}
}

// run runs kubectl with that standard input; the error is kubectl's exit code, if it has one.
func (s *space) run(stdin []byte, environment []string, arguments ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	command := s.command(ctx, arguments...)
	command.Env = append(os.Environ(), environment...)
	command.Stdin = bytes.NewReader(stdin)
	var out, errors bytes.Buffer
	command.Stdout, command.Stderr = &out, &errors
	err = command.Run()
	return out.String(), errors.String(), err
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

func noise(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	return data
}

// execs speaks WebSocket as kubectl does by itself, and SPDY as older ones do.
func execs(t *testing.T) {
	needsStreaming(t)
	s := newSpace(t, "exec")
	s.apply("streams")
	s.waitPod("streams", "is ready", time.Minute, ready)
	for protocol, environment := range map[string][]string{
		"WebSocket": nil, "SPDY": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false"}} {
		out, errs, err := s.run(nil, environment, "exec", "streams", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 5")
		if out != "out\n" || !strings.HasPrefix(errs, "err\n") || exitCode(err) != 5 {
			t.Errorf("%s: exec says %q and %q and ends with %v", protocol, out, errs, err)
		}
		data := noise(1 << 20)
		out, errs, err = s.run(data, environment, "exec", "-i", "streams", "-c", "main", "--", "cat")
		if err != nil || out != string(data) {
			t.Errorf("%s: of 1 MiB through cat %d bytes come back (%v, %q)", protocol, len(out), err, errs)
		}
		out, errs, err = s.run(nil, environment, "exec", "streams", "-c", "main", "--", "/no/such/program")
		if exitCode(err) == 0 || !strings.Contains(errs, "/no/such/program") {
			t.Errorf("%s: exec of a missing program says %q and %q and ends with %v", protocol, out, errs, err)
		}
	}
	// script gives kubectl a terminal of its own; its size is told after the start.
	inner := strings.Join(s.command(t.Context(), "exec", "-it", "streams", "-c", "main", "--", "sh", "-c",
		"'tty; until stty size 2>/dev/null | grep -x \"33 77\"; do sleep 0.1; done; exit 6'").Args, " ")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	script := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", "stty rows 33 cols 77; "+inner, "/dev/null")
	out, err := script.CombinedOutput()
	if text := string(out); exitCode(err) != 6 || !strings.Contains(text, "/dev/pts/0\r\n") || !strings.Contains(text, "33 77\r\n") {
		t.Errorf("exec with a terminal of 33 rows and 77 columns says %q and ends with %v", text, err)
	}
}

func copies(t *testing.T) {
	needsStreaming(t)
	s := newSpace(t, "cp")
	s.apply("streams")
	s.waitPod("streams", "is ready", time.Minute, ready)
	dir := t.TempDir()
	data := noise(3 << 20)
	if err := os.WriteFile(filepath.Join(dir, "there"), data, 0o640); err != nil {
		t.Fatal(err)
	}
	s.kubectl("cp", "-c", "main", filepath.Join(dir, "there"), "streams:/tmp/file")
	s.kubectl("cp", "-c", "main", "streams:/tmp/file", filepath.Join(dir, "back"))
	if back, err := os.ReadFile(filepath.Join(dir, "back")); err != nil || !bytes.Equal(back, data) {
		t.Errorf("of 3 MiB copied there and back %d bytes are left or they differ (%v)", len(back), err)
	}
}

func attaches(t *testing.T) {
	needsStreaming(t)
	s := newSpace(t, "attach")
	s.apply("streams")
	s.waitPod("listens", "runs", time.Minute, phase(v1.PodRunning))
	out, errs, _ := s.run([]byte("a word\n"), nil, "attach", "-i", "listens")
	if !strings.Contains(out, "heard a word\n") {
		t.Errorf("kubectl attach says %q and %q", out, errs)
	}
	pod := s.waitPod("listens", "has failed", time.Minute, phase(v1.PodFailed))
	if end := containerStatus(pod, "main").State.Terminated; end == nil || end.ExitCode != 4 {
		t.Errorf("the container that got its line ended with %+v", end)
	}
	if got := s.kubectl("logs", "listens"); got != "heard a word\n" {
		t.Errorf("its log is %q", got)
	}
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:[0-9]+) -> 80`)

func forwards(t *testing.T) {
	needsStreaming(t)
	s := newSpace(t, "port-forward")
	s.apply("streams")
	s.waitPod("streams", "is ready", time.Minute, ready)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	command := s.command(ctx, "port-forward", "pod/streams", ":80")
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = command.Wait() }()
	said := make([]byte, 4096)
	n, err := pipe.Read(said)
	address := forwarding.FindStringSubmatch(string(said[:n]))
	if address == nil {
		t.Fatalf("kubectl port-forward says %q (%v)", said[:n], err)
	}
	go io.Copy(io.Discard, pipe)
	failures := make(chan error)
	const clients = 8
	for range clients {
		go func() {
			reply, err := http.Get("http://" + address[1] + "/")
			if err == nil {
				defer reply.Body.Close()
				var body []byte
				if body, err = io.ReadAll(reply.Body); err == nil && string(body) != "berth test page\n" {
					err = fmt.Errorf("the page is %q", body)
				}
			}
			failures <- err
		}()
	}
	for range clients {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

// lookAround tells who process 1 is, and whether it has the memory cgroup of who asks.
const lookAround = `cat /proc/1/comm
cgroup() { sed -n 's/^[0-9]*:memory://p; s/^0:://p' "/proc/$1/cgroup" | head -n 1; }
[ "$(cgroup 1)" != "$(cgroup self)" ] && echo "a cgroup of its own"
exit 8`

// debugs adds a container to a running pod that sees the processes of another, but is none of them for the limits. Its
// words come by the log, so that it needs no streaming server.
func debugs(t *testing.T) {
	s := newSpace(t, "debug")
	s.apply("debug")
	s.waitPod("patient", "is ready", time.Minute, ready)
	s.kubectl("debug", "--quiet", "patient", "--image=test.invalid/busybox:1", "--image-pull-policy=IfNotPresent",
		"--target=main", "--container=doctor", "--profile=general", "--", "sh", "-c", lookAround)
	pod := s.waitPod("patient", "was looked at", time.Minute, func(pod *v1.Pod) string {
		if len(pod.Status.EphemeralContainerStatuses) == 1 && pod.Status.EphemeralContainerStatuses[0].State.Terminated != nil {
			return ""
		}
		return fmt.Sprintf("%+v", pod.Status.EphemeralContainerStatuses)
	})
	if end := pod.Status.EphemeralContainerStatuses[0].State.Terminated; end.ExitCode != 8 {
		t.Errorf("the ephemeral container ended with %+v", end)
	}
	if got := s.kubectl("logs", "patient", "-c", "doctor"); got != "faults\na cgroup of its own\n" {
		t.Errorf("the ephemeral container sees %q as process 1, not the container that it looks at, or shares its cgroup", got)
	}
	if c := containerStatus(pod, "main"); c.State.Running == nil || c.RestartCount != 0 {
		t.Errorf("the container that was looked at is %+v", c)
	}
}
