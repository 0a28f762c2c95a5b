// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

var numbered = regexp.MustCompile(`(?m)line ([0-9]+) at `)

func numbers(text string) []int {
	var found []int
	for _, match := range numbered.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(match[1])
		found = append(found, n)
	}
	return found
}

// logDir is the folder of a container's log files on the node.
func logDir(pod *v1.Pod, container string) string {
	return filepath.Join(kubelet.PodLogs, fmt.Sprintf("%s_%s_%s", pod.Namespace, pod.Name, pod.UID), container)
}

// logFiles are the texts of a container's log files on the node, the oldest first.
func logFiles(pod *v1.Pod, container string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(logDir(pod, container), "0.log*"))
	if err != nil {
		return nil, err
	}
	// 0.log is the newest; the others end in the time of their rotation. One that is just being compressed is there
	// as .tmp beside its source.
	rank := func(path string) string {
		if filepath.Base(path) == "0.log" {
			return "~"
		}
		return filepath.Base(path)
	}
	sort.Slice(paths, func(i, j int) bool { return rank(paths[i]) < rank(paths[j]) })
	var texts []string
	for _, path := range paths {
		if strings.HasSuffix(path, ".tmp") {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		var reader io.Reader = file
		if strings.HasSuffix(path, ".gz") {
			if reader, err = gzip.NewReader(file); err != nil {
				return nil, err
			}
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}

// logRotation follows a container that writes a hundred numbered lines a second while kubelet rotates its log. In the
// files on the node every line is there once and in order: that is the runtime's work. The follower goes on with the
// new file; kubelet does not read on in the renamed one, so lines written between rename and reopening may be missing
// in what it shows. Then the next one it shows is the first of a new file.
func logRotation(t *testing.T) {
	s := newSpace(t, "log-rotation")
	s.apply("log-rotation")
	s.waitPod("talker", "is ready", time.Minute, ready)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follow := s.command(ctx, "logs", "--follow", "talker")
	pipe, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1<<16)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()

	const rotations = 3
	var pod *v1.Pod
	until(t, 2*time.Minute, "kubelet rotates the log", func() string {
		pod = s.waitPod("talker", "is there", time.Minute, func(*v1.Pod) string { return "" })
		files, err := logFiles(pod, "main")
		if err != nil || len(files) <= rotations {
			return fmt.Sprintf("%d files (%v)", len(files), err)
		}
		return ""
	})
	// The follower has to get to the newest file too: to any line that was not there yet.
	files, err := logFiles(pod, "main")
	if err != nil {
		t.Fatal(err)
	}
	all := numbers(strings.Join(files, ""))
	if len(all) == 0 {
		t.Fatal("there are no lines in the log files")
	}
	last := all[len(all)-1]
	var followed []int
	timeout := time.After(time.Minute)
	for len(followed) == 0 || followed[len(followed)-1] <= last {
		select {
		case line, open := <-lines:
			if !open {
				t.Fatalf("kubectl logs --follow ended after %d lines", len(followed))
			}
			followed = append(followed, numbers(line)...)
		case <-timeout:
			t.Fatalf("kubectl logs --follow is silent after line %v; the log has %d", followed[max(0, len(followed)-1):], last)
		}
	}
	cancel()
	_ = follow.Wait() // it was told to stop

	if files, err = logFiles(pod, "main"); err != nil {
		t.Fatal(err)
	}
	firsts := map[int]bool{}
	next := 0
	for i, text := range files {
		for j, n := range numbers(text) {
			if n != next {
				t.Fatalf("file %d of the log has line %d where line %d should be", i, n, next)
			}
			if firsts[n] = firsts[n] || j == 0; !strings.HasSuffix(text, "\n") && i < len(files)-1 {
				t.Errorf("file %d of the log does not end with a whole line", i)
			}
			next++
		}
	}
	missing := 0
	for i := 1; i < len(followed); i++ {
		if followed[i] == followed[i-1]+1 {
			continue
		}
		if followed[i] <= followed[i-1] || !firsts[followed[i]] {
			t.Errorf("kubectl logs --follow shows line %d after line %d", followed[i], followed[i-1])
		}
		missing += followed[i] - followed[i-1] - 1
	}
	t.Logf("%d files, %d lines; the follower saw %d of them, %d were lost by kubelet at the change of files", len(files),
		next, len(followed), missing)
}

func logReading(t *testing.T) {
	s := newSpace(t, "log-reading")
	s.apply("log-reading")
	s.waitPod("lines", "runs again", time.Minute, func(pod *v1.Pod) string {
		if c := containerStatus(pod, "main"); c.RestartCount != 1 || c.State.Running == nil {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	if got := s.kubectl("logs", "lines", "--previous"); got != "words of the first life\nand of its standard error\n" &&
		got != "and of its standard error\nwords of the first life\n" {
		t.Errorf("kubectl logs --previous says %q", got)
	}
	long := strings.Repeat("x", 40000) + "\n"
	nine := "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\nline 9\n"
	until(t, time.Minute, "all lines of the second life are in the log", func() string {
		got := s.kubectl("logs", "lines")
		if strings.HasPrefix(got, long+nine) {
			return ""
		}
		return fmt.Sprintf("%d bytes: …%q", len(got), got[max(0, len(got)-100):])
	})
	if got := s.kubectl("logs", "lines", "--tail=2"); !strings.HasPrefix(got, "line 8\nline 9\n") {
		t.Errorf("kubectl logs --tail=2 says %q", got)
	}
	if got := s.kubectl("logs", "lines", "--since=1h", "--limit-bytes=100"); got != long[:100] {
		t.Errorf("kubectl logs --limit-bytes=100 says %q", got)
	}
	stamped := strings.SplitN(s.kubectl("logs", "lines", "--timestamps", "--tail=1"), " ", 2)
	if _, err := time.Parse(time.RFC3339Nano, stamped[0]); err != nil {
		t.Errorf("kubectl logs --timestamps begins with %q: %v", stamped[0], err)
	}
}
