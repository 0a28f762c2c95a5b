// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// berth is the operator's program, with `arguments` for this daemon.
func (d *daemon) berth(arguments ...string) *exec.Cmd {
	return exec.Command(filepath.Join(*binDirFlag, "berth"), append([]string{"--endpoint", d.endpoint}, arguments...)...)
}

type ran struct {
	out, err string
	code     int
}

// mustEnd kills a program that does not end, so that a test of it ends too.
func mustEnd(cmd *exec.Cmd) *time.Timer {
	return time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
}

func (d *daemon) runs(t *testing.T, stdin string, arguments ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := d.berth(arguments...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer mustEnd(cmd).Stop()
	_ = cmd.Wait()
	return ran{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func TestBerthExecCarriesTheStreamsAndTheExitCode(t *testing.T) {
	c := target.run(t, shape{})
	big := strings.Repeat("0123456789abcde\n", 1<<17)
	if got := target.runs(t, big, "exec", "-i", c.id, "sh", "-c", "cat; echo err >&2; exit 7"); got.out != big || got.err != "err\n" || got.code != 7 {
		t.Errorf("%d bytes of %d came back, stderr %q, exit code %d", len(got.out), len(big), got.err, got.code)
	}
	// What follows the id is the command's, whatever it looks like.
	for _, arguments := range [][]string{{"echo", "-t", "-i", "x"}, {"--", "echo", "-t", "-i", "x"}} {
		if got := target.runs(t, "", append([]string{"exec", c.id}, arguments...)...); got.out != "-t -i x\n" || got.code != 0 {
			t.Errorf("%q: %+v", arguments, got)
		}
	}
	// Input that nobody asked to be carried is not.
	if got := target.runs(t, "never", "exec", c.id, "cat"); got.out != "" || got.code != 0 {
		t.Errorf("without -i: %+v", got)
	}
	if got := target.runs(t, "", "exec", c.id, "no-such-program"); got.code != 1 || !strings.Contains(got.err, "no-such-program") {
		t.Errorf("a program that is not there: %+v", got)
	}
	if got := target.runs(t, "", "exec", "0123456789", "true"); got.code != 1 || !strings.Contains(got.err, "0123456789") {
		t.Errorf("a container that is not there: %+v", got)
	}
	if got := target.runs(t, "", "exec", c.id); got.code != 2 {
		t.Errorf("no command: %+v", got)
	}
	if got := target.runs(t, "", "exec", "-it", c.id, "sh"); got.code != 1 || !strings.Contains(got.err, "terminal") {
		t.Errorf("-t without a terminal: %+v", got)
	}
}

// terminal is a pseudo terminal of the test's own.
type terminal struct {
	master, slave *os.File
	shown         *screen
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	made := &terminal{master, slave, &screen{}}
	go func() { _, _ = io.Copy(made.shown, master) }()
	return made
}

func (w *terminal) size(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(w.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Error(err)
	}
}

func (w *terminal) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(w.master, text); err != nil {
		t.Error(err)
	}
}

func (w *terminal) settings(t *testing.T) unix.Termios {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(w.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *settings
}

// hosts starts a program whose controlling terminal this is.
func (w *terminal) hosts(t *testing.T, cmd *exec.Cmd) chan error {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = w.slave, w.slave, w.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	timer := mustEnd(cmd)
	go func() { ended <- cmd.Wait(); timer.Stop() }()
	return ended
}

func TestBerthExecIsAnInteractiveShell(t *testing.T) {
	c := target.run(t, shape{})
	window := openTerminal(t)
	window.size(t, 31, 101)
	before := window.settings(t)
	cmd := target.berth("exec", "-it", c.id, "sh")
	ended := window.hosts(t, cmd)
	window.say(t, "until [ \"$(stty size)\" = '31 101' ]; do sleep 0.02; done; echo fir''st\n")
	window.shown.shows(t, "first")
	if during := window.settings(t); during == before {
		t.Error("our terminal is not raw: keys are held back and shown twice")
	}
	window.size(t, 22, 77)
	window.say(t, "until [ \"$(stty size)\" = '22 77' ]; do sleep 0.02; done; echo sec''ond\n")
	window.shown.shows(t, "second")
	// Ctrl-C is a key of the other side's.
	window.say(t, "tail -f /dev/null\n")
	if !until(func() bool { return c.says(t, "pgrep", "-x", "tail") != "" }) {
		t.Error("the command does not run")
	}
	window.say(t, "\x03")
	window.say(t, "echo thi''rd; exit 9\n")
	window.shown.shows(t, "third")
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit code %d; shown: %q", code, window.shown)
	}
	if after := window.settings(t); after != before {
		t.Errorf("the terminal was %+v and is left as %+v", before, after)
	}
}

func TestBerthAttachShowsAndFeeds(t *testing.T) {
	c := target.run(t, shape{stdin: true, stdinOnce: true, command: []string{"sh", "-c", "while read -r line; do echo \"got $line\"; done; echo over"}})
	cmd := target.berth("attach", "-i", c.id)
	shown := &screen{}
	cmd.Stdout, cmd.Stderr = shown, shown
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(keys, "hello\n")
	shown.shows(t, "got hello")
	_ = keys.Close() // stdin_once: the container's input ends
	defer mustEnd(cmd).Stop()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	shown.shows(t, "over")
	if !until(func() bool { return c.state(t) == cri.ContainerState_CONTAINER_EXITED }) {
		t.Error("it does not end")
	}
}

func TestBerthAttachFindsTheTerminalOfTheContainer(t *testing.T) {
	c := target.run(t, shape{stdin: true, tty: true, command: []string{"sh"}})
	window := openTerminal(t)
	window.size(t, 33, 99)
	cmd := target.berth("attach", "-i", c.id)
	ended := window.hosts(t, cmd)
	window.say(t, "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.02; done; echo si''zed; exit\n")
	window.shown.shows(t, "sized")
	if err := <-ended; err != nil {
		t.Errorf("%v; shown: %q", err, window.shown)
	}
}

// forwards starts `berth port-forward` and returns the local address.
func (c container) forwards(t *testing.T, port string) (address string, errs *screen) {
	t.Helper()
	cmd := target.berth("port-forward", c.pod, port)
	shown, errs := &screen{}, &screen{}
	cmd.Stdout, cmd.Stderr = shown, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	shown.shows(t, " -> ")
	address, _, _ = strings.Cut(shown.String(), " ")
	if !regexp.MustCompile(`^127\.0\.0\.1:[0-9]+$`).MatchString(address) {
		t.Fatalf("it says %q", shown)
	}
	return address, errs
}

func TestBerthPortForwardCarriesConnections(t *testing.T) {
	c := target.serve(t, "echo", ":7001")
	address, _ := c.forwards(t, ":7001")
	failures := make(chan error, 8)
	for i := range cap(failures) {
		go func() { failures <- exchange(address, int64(i), 1<<20) }()
	}
	for range cap(failures) {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	// A port that nobody serves ends its connections, not the program.
	nobody, errs := c.forwards(t, ":7999")
	for range 2 {
		if err := exchange(nobody, 1, 1); err == nil {
			t.Error("somebody answers")
		}
	}
	errs.shows(t, "refused")
	if connection, err := net.Dial("tcp", nobody); err != nil {
		t.Errorf("berth port-forward ended with a connection: %v", err)
	} else {
		_ = connection.Close()
	}
	if got := target.runs(t, "", "port-forward", "0123456789", "7001"); got.code != 1 || !strings.Contains(got.err, "0123456789") {
		t.Errorf("a pod that is not there: %+v", got)
	}
}

// tree lists what lies below a directory: kinds, modes and contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		found[name] = info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			found[name] += fmt.Sprintf(" %d %.20q", len(content), content)
			return err
		case info.Mode()&os.ModeSymlink != 0:
			link, err := os.Readlink(path)
			found[name] += " -> " + link
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestBerthCopiesTreesBothWays(t *testing.T) {
	c := target.run(t, shape{})
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	for name, content := range map[string]string{"a": "hello", "empty": "", "deep/er/b": strings.Repeat("b", 3<<20), "a name with spaces": "x"} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("deep/er/b", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	if got := target.runs(t, "", "cp", source, c.id+":/tmp"); got.code != 0 {
		t.Fatalf("there: %+v", got)
	}
	if got := c.says(t, "ln", "/tmp/source/a", "/tmp/source/hard"); got != "" {
		t.Fatal(got)
	}
	if got := target.runs(t, "", "cp", c.id+":/tmp/source", filepath.Join(dir, "back")); got.code != 0 {
		t.Fatalf("back: %+v", got)
	}
	want, got := tree(t, source), tree(t, filepath.Join(dir, "back"))
	want["hard"] = want["a"]
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("sent    %v\ncame back %v", want, got)
	}
	// One file, under another name; and into a directory that is there.
	if got := target.runs(t, "", "cp", filepath.Join(source, "a"), c.id+":/tmp/other"); got.code != 0 || c.says(t, "cat", "/tmp/other") != "hello" {
		t.Errorf("under another name: %+v", got)
	}
	if got := target.runs(t, "", "cp", c.id+":/tmp/other", dir); got.code != 0 || tree(t, dir)["other"] != `-rw-r----- 5 "hello"` {
		t.Errorf("into a directory: %+v, %v", got, tree(t, dir)["other"])
	}
	if got := target.runs(t, "", "cp", c.id+":/no/such", dir); got.code != 1 || !strings.Contains(got.err, "such") {
		t.Errorf("what is not there: %+v", got)
	}
	if got := target.runs(t, "", "cp", source, dir); got.code != 1 || !strings.Contains(got.err, "CONTAINER:PATH") {
		t.Errorf("no container: %+v", got)
	}
}

// What a container sends cannot leave the place where it was wanted.
func TestBerthCopiesNothingElsewhere(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"a name of another": {{Name: "other/file", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a way up":          {{Name: "wanted/../../file", Typeflag: tar.TypeReg, Mode: 0o644}},
		"an absolute name":  {{Name: "/file", Typeflag: tar.TypeReg, Mode: 0o644}},
		"through a link": {{Name: "wanted/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "wanted/up", Typeflag: tar.TypeSymlink, Linkname: ".."},
			{Name: "wanted/out", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, {Name: "wanted/up/file", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a hard link from elsewhere": {{Name: "wanted/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "wanted/passwd", Typeflag: tar.TypeLink, Linkname: "wanted/../../secret"}},
		"through a link that is there": {{Name: "wanted/beside/file", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a device":                     {{Name: "wanted/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "wanted/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
	} {
		t.Run(name, func(t *testing.T) {
			c := target.run(t, shape{})
			var archive bytes.Buffer
			w := tar.NewWriter(&archive)
			for _, header := range entries {
				if err := w.WriteHeader(&header); err != nil {
					t.Fatal(err)
				}
			}
			_ = w.Close()
			dir := t.TempDir()
			place := filepath.Join(dir, "place")
			for _, made := range []string{filepath.Join(place, "wanted"), filepath.Join(dir, "beside")} {
				if err := os.MkdirAll(made, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(filepath.Join(dir, "beside"), filepath.Join(place, "wanted/beside")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := target.runs(t, archive.String(), "exec", "-i", c.id, "sh", "-c",
				"cat >/hostile && rm /usr/bin/tar && printf '#!/bin/sh\\ncat /hostile\\n' >/usr/bin/tar && chmod 755 /usr/bin/tar"); got.code != 0 {
				t.Fatal(got)
			}
			got := target.runs(t, "", "cp", c.id+":/tmp/wanted", place)
			if got.err == "" {
				t.Error("nothing is said about it")
			}
			for found, what := range tree(t, dir) {
				regular := slices.Contains([]string{".", "secret", "beside", "place", "place/wanted", "place/wanted/beside"}, found)
				inside := strings.HasPrefix(found, "place/wanted/up") && !strings.Contains(what, "->") // a directory of ours
				if !regular && !inside {
					t.Errorf("%s: %s", found, what)
				}
			}
		})
	}
}
