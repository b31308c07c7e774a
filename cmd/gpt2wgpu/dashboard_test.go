package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

func TestDashboardUsage(t *testing.T) {
	wantFlags(t, "dashboard", "listen")
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	wantFailure(t, exitUsage, []string{"dashboard", dir, "--listen", "here"}, `--listen is "here"`, "HOST:PORT",
		"--listen 127.0.0.1:6007")
	wantFailure(t, exitFailed, []string{"dashboard", dir, "--listen", taken.Addr().String()}, "cannot listen on",
		"127.0.0.1:0 takes a free port")
	wantFailure(t, exitFailed, []string{"dashboard", "no/such"}, "no/such", "hint: name a run's directory")
	wantFailure(t, exitFailed, []string{"dashboard", os.Args[0]}, "a file, want a directory")
	wantFailure(t, exitUsage, smallRun("--out", "", "--dashboard", "1:2:3"), "--dashboard is", "HOST:PORT")
	if _, err := os.Stat(filepath.Join(dir, "runs")); err == nil {
		t.Error("a usage mistake made a directory")
	}
}

// urlOf returns the address in the log of a process.
func urlOf(t *testing.T, log *bufio.Reader) string {
	t.Helper()
	for {
		line, err := log.ReadString('\n')
		if err != nil {
			t.Fatalf("%v before the dashboard's address", err)
		}
		var event struct{ URL string }
		if json.Unmarshal([]byte(line), &event) == nil && event.URL != "" {
			return event.URL
		}
	}
}

// TestDashboardServes: the command serves what a directory holds, and ends when it is interrupted.
func TestDashboardServes(t *testing.T) {
	dir := t.TempDir()
	madeRun(t, filepath.Join(dir, "tiny-1"), 10, 1e-3)
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan int)
	go func() {
		var out bytes.Buffer
		ended <- run(ctx, []string{"dashboard", dir, "--listen", "0", "--log-format", "json"}, nil, &out, w)
	}()
	log := bufio.NewReader(r)
	url := urlOf(t, log)
	go io.Copy(io.Discard, log)
	if text := firstEvent(t, url+"events", "event: runs"); !strings.Contains(text, `"step":10`) {
		t.Error(text)
	}
	cancel()
	if code := <-ended; code != exitInterrupted {
		t.Errorf("code %d", code)
	}
}

// firstEvent reads events up to one whose lines begin so, and returns its data.
func firstEvent(t *testing.T, url, begins string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	for seen := false; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%v before %q", err, begins)
		}
		if seen {
			return line
		}
		seen = strings.HasPrefix(line, begins)
	}
}

// TestTrainDashboard: a training serves its own curves while it trains, saved or not, and they are those it records.
func TestTrainDashboard(t *testing.T) {
	gputest.Available(t)
	for _, out := range []string{"", filepath.Join(t.TempDir(), "run")} {
		ctx, cancel := context.WithCancel(context.Background())
		r, w := io.Pipe()
		ended := make(chan int)
		go func() {
			args := smallRun("--steps", "1000000", "--out", out, "--dashboard", "0", "--log-format", "json")
			ended <- run(ctx, args, nil, io.Discard, w)
		}()
		log := bufio.NewReader(r)
		url := urlOf(t, log)
		go io.Copy(io.Discard, log)
		id := ""
		for id == "" {
			var list struct{ Rows []struct{ ID, State string } }
			if err := json.Unmarshal([]byte(strings.TrimPrefix(firstEvent(t, url+"events", "event: runs"), "data: ")),
				&list); err != nil {
				t.Fatal(err)
			}
			if len(list.Rows) > 0 {
				id = list.Rows[0].ID
			}
		}
		text := firstEvent(t, url+"events?run="+id, "event: lines")
		if !strings.Contains(text, `"step":[0`) || !strings.Contains(text, `"loss":[5.`) {
			t.Errorf("--out %q: %.300s", out, text)
		}
		cancel()
		if code := <-ended; code != exitInterrupted {
			t.Errorf("code %d", code)
		}
	}
}
