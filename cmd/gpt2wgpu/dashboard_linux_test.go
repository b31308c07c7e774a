//go:build linux

package main

import (
	"bufio"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

// TestDashboardRestart: a page stays connected while a training process crashes and another takes its place.
func TestDashboardRestart(t *testing.T) {
	gputest.Available(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	out := filepath.Join(t.TempDir(), "run")
	v := &victim{t: t, out: out}
	v.args = smallRun("--steps", "1000000", "--save-every", "50", "--out", out, "--dashboard", address)
	v.start()
	var answer *http.Response
	v.until(func() bool {
		answer, err = http.Get("http://" + address + "/events")
		return err == nil
	})
	row := func(lines *bufio.Reader, has string) string {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("%v before %q", err, has)
			}
			if strings.Contains(line, has) {
				return line
			}
		}
	}
	_, id, _ := strings.Cut(row(bufio.NewReader(answer.Body), `"id":"`), `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	answer.Body.Close()
	if answer, err = http.Get("http://" + address + "/events?run=" + id); err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	row(lines, `"train":{"step":[0`)
	v.until(func() bool { return v.size() > 50*100 })
	syscall.Kill(v.child(0), syscall.SIGKILL)
	row(lines, `"restart":[{"step":`)
	row(lines, `"restarts":1`)
	v.cmd.Process.Signal(syscall.SIGINT)
	if err := <-v.over; v.cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("%v: %s", err, v.said.String())
	}
}
