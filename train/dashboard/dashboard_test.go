package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/report"
)

const config = `{"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "vocab_size": 256, "tokenizer": "bytes",
"total_batch_size": 64, "steps": 20000, "lr": %v, "version": "v9", "device_name": "a GPU",
"memory": [{"role": "inputs", "bytes": 1048576}]}`

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// steps are lines of metrics, from a step up to another.
func steps(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"kind":"train","step":%d,"loss":%v,"lr":0.0006,"grad_norm":%v,"tokens":%d,"ms":%v,`+
			`"tokens_per_s":%v}`+"\n", i, 3+7/(1+float64(i)/100)+float64(i*7919%1000)/9973,
			0.5+float64(i*31%97)/1013, 64*(i+1), 500+float64(i*13%89)/7, 128-float64(i*17%83)/71)
	}
	return b.String()
}

// made writes the directory of a run.
func made(t testing.TB, dir string, lines string) string {
	t.Helper()
	write(t, filepath.Join(dir, "config.json"), fmt.Sprintf(config, 1e-3))
	write(t, filepath.Join(dir, "metrics.jsonl"), lines)
	return dir
}

// served serves what o names until the test ends, and looks at files as often as it can.
func served(t testing.TB, o Options, change ...func(*Server)) (s *Server, url string) {
	t.Helper()
	s = New(o)
	s.tick, s.list.age = time.Millisecond, 0
	for _, f := range change {
		f(s)
	}
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

func get(t testing.TB, url string) (code int, text string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(raw)
}

// page is a page that is open.
type page struct {
	t     testing.TB
	lines *bufio.Reader
	bytes int
	close func() error
}

func openPage(t testing.TB, url string) *page {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s", url, r.Status)
	}
	t.Cleanup(func() { r.Body.Close() })
	return &page{t, bufio.NewReader(r.Body), 0, r.Body.Close}
}

// event returns the next event of a name.
func (p *page) event(name string) string {
	p.t.Helper()
	for event := ""; ; {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			p.t.Fatalf("%v before the event %q", err, name)
		}
		p.bytes += len(line)
		if word, ok := strings.CutPrefix(line, "event: "); ok {
			event = strings.TrimSpace(word)
		} else if data, ok := strings.CutPrefix(line, "data: "); ok && event == name {
			return data
		}
	}
}

// got is what a page reads of a piece.
type got struct {
	ID, At     string
	Anew, More bool
	Train      struct {
		Step, Tokens []int
		Loss         []*float64
	}
	Val    []metrics.Validation
	Sample []metrics.Sample
}

func (p *page) piece() (g got) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.event("lines")), &g); err != nil {
		p.t.Fatal(err)
	}
	return g
}

// rows returns the next rows, by label.
func (p *page) rows() (labels map[string]row, gone []string) {
	p.t.Helper()
	var all struct {
		Rows []row
		Gone []string
	}
	if err := json.Unmarshal([]byte(p.event("runs")), &all); err != nil {
		p.t.Fatal(err)
	}
	labels = map[string]row{}
	for _, r := range all.Rows {
		labels[r.Label] = r
	}
	return labels, all.Gone
}

// TestFiles: the page's files are all there, and need nothing from elsewhere and no code within them.
func TestFiles(t *testing.T) {
	_, url := served(t, Options{Dirs: []string{t.TempDir()}})
	seen := map[string]bool{}
	link := regexp.MustCompile(`(?:src|href|from|import)[= ]"([^"#]+)"`)
	within := regexp.MustCompile(`https?://(?:[^w]|w[^w])|<script>|<style|style="|\son\w+="|innerHTML|eval\(`)
	var visit func(at string)
	visit = func(at string) {
		if seen[at] {
			return
		}
		seen[at] = true
		code, text := get(t, url+at)
		if code != http.StatusOK || text == "" {
			t.Errorf("%s: %d", at, code)
		}
		if within.MatchString(text) {
			t.Errorf("%s has code or styles within it, or an address of elsewhere", at)
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			visit(at[:strings.LastIndex(at, "/")+1] + strings.TrimPrefix(m[1], "./"))
		}
	}
	visit("/")
	if len(seen) < 10 {
		t.Errorf("only %v", seen)
	}
	fs.WalkDir(pageFiles, "page", func(path string, d fs.DirEntry, _ error) error {
		if at := strings.TrimPrefix(path, "page"); !d.IsDir() && at != "/index.html" && !seen[at] {
			t.Errorf("nothing uses %s", path)
		}
		return nil
	})
}

// TestRefused: only GET and HEAD, under names of this server, of what the list has.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	run := made(t, dir+"/runs/a", steps(0, 3))
	write(t, dir+"/secret", "secret")
	s, url := served(t, Options{Dirs: []string{dir + "/runs"}})
	address := strings.TrimPrefix(url, "http://")
	_, port, _ := net.SplitHostPort(address)
	for _, c := range []struct {
		method, host, at string
		site             string
		code             int
	}{
		{"GET", address, "/", "", 200},
		{"HEAD", address, "/", "", 200},
		{"HEAD", address, "/events", "", 200},
		{"GET", "localhost:" + port, "/", "", 200},
		{"GET", "LOCALHOST.:" + port, "/", "", 200},
		{"GET", "[::1]:" + port, "/", "", 200},
		{"GET", "127.0.0.1", "/", "none", 200},
		{"GET", "evil.example:" + port, "/", "", 421},
		{"GET", "evil.example", "/events", "", 421},
		{"GET", "localhost.evil.example", "/", "", 421},
		{"GET", "192.0.2.1:" + port, "/", "", 421},
		{"GET", "", "/", "", 421},
		{"POST", address, "/", "", 405},
		{"PUT", address, "/run/" + idOf(run), "", 405},
		{"DELETE", address, "/run/" + idOf(run), "", 405},
		{"OPTIONS", address, "/", "", 405},
		{"GET", address, "/events", "cross-site", 403},
		{"GET", address, "/run/" + idOf(run), "same-origin", 200},
		{"GET", address, "/run/" + idOf(run) + "/profile", "", 404},
		{"GET", address, "/run/" + idOf(run) + "/metrics.jsonl", "", 404},
		{"GET", address, "/run/" + idOf(dir), "", 404},
		{"GET", address, "/run/../../secret", "", 404},
		{"GET", address, "/parts/../server.go", "", 404},
		{"GET", address, "/parts/..%2f..%2fgo.mod", "", 404},
		{"GET", address, "/../secret", "", 404},
		{"GET", address, "/page/index.html", "", 404},
		{"GET", address, "/parts/", "", 404},
		{"GET", address, "/events?run=" + strings.Repeat("&run=x", mostChosen+1), "", 400},
	} {
		r := httptest.NewRequest(c.method, "http://x/", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(c.at, "?")
		r.Host = c.host
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.code || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s of %q: %d %.60q, want %d", c.method, c.at, c.host, w.Code, w.Body, c.code)
		}
		if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: %v", c.method, c.at, w.Header())
		}
	}
	s.open = true // others may ask, by addresses and by the name it was given
	s.hosts = []string{"trainer"}
	for host, want := range map[string]bool{"192.0.2.1:6007": true, "[2001:db8::1]:6007": true, "Trainer:6007": true,
		"localhost": true, "evil.example": false, "trainer.evil.example": false} {
		if s.knows(host) != want {
			t.Errorf("%q is known: %v", host, !want)
		}
	}
}

// TestAddresses: an address without a host is the loopback's.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{"6007": "127.0.0.1:6007", ":6007": "127.0.0.1:6007",
		"0": "127.0.0.1:0", "[::1]:80": "[::1]:80", "0.0.0.0:6007": "0.0.0.0:6007", "trainer:6007": "trainer:6007",
		"": "", "x": "", "1:2:3": "", "localhost:": "", "localhost:70000": "", "localhost": ""} {
		host, port, err := SplitAddress(address)
		if got := net.JoinHostPort(host, port); err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %s (%v), want %q", address, got, err, want)
		}
	}
	s := New(Options{})
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = s.Listen(l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "cannot listen on 127.0.0.1:") {
		t.Errorf("a port that is taken: %v", err)
	}
	if s.Open() {
		t.Error("the loopback is open to others")
	}
}

// TestEvents: a page gets all lines once, as they are written, and all anew where the file is another.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	run := made(t, dir+"/tiny-1", steps(0, 5)+`{"kind":"val","step":5,"loss":null}`+"\nnonsense\n")
	lines := filepath.Join(run, "metrics.jsonl")
	_, url := served(t, Options{Dirs: []string{dir}})
	p := openPage(t, url+"/events?run="+idOf(run))
	rows, _ := p.rows()
	if r := rows["tiny-1"]; r.Step != 5 || r.Steps != 20000 || r.Device != "a GPU" || r.BytesPerToken != 1 ||
		len(r.Trouble) != 1 || r.TokensPerStep != 64 {
		if r = rows[filepath.ToSlash(run)]; r.Step != 5 {
			t.Errorf("%+v", rows)
		}
	}
	g := p.piece()
	if len(g.Train.Step) != 5 || len(g.Val) != 1 || g.Anew || g.ID != idOf(run) || *g.Train.Loss[0] != 10 {
		t.Errorf("%+v", g)
	}
	at := g.At
	appendTo(t, lines, `{"kind":"train","step":5,"loss":null,"tokens":9007199254740991}`+"\n"+
		`{"kind":"sample","step":6,"text":"</script>\n\ndata: x"}`+"\n")
	if g = p.piece(); len(g.Train.Step) != 1 || g.Train.Loss[0] != nil || g.Train.Tokens[0] != 9007199254740991 ||
		len(g.Sample) != 1 || g.Sample[0].Text != "</script>\n\ndata: x" {
		t.Errorf("%+v", g)
	}
	// A page that was cut off goes on where it was.
	again := openPage(t, url+"/events?run="+idOf(run)+"@"+at)
	if g = again.piece(); len(g.Train.Step) != 1 || g.Train.Step[0] != 5 || g.Anew {
		t.Errorf("%+v", g)
	}
	// A resumed run has cut its file back, and does steps again.
	write(t, lines, steps(0, 3))
	if g = p.piece(); len(g.Train.Step) != 3 || !g.Anew {
		t.Errorf("%+v", g)
	}
	if g = again.piece(); !g.Anew {
		t.Errorf("%+v", g)
	}
	// Runs come and go.
	other := made(t, dir+"/tiny-2", steps(0, 2))
	for seen := false; !seen; {
		rows, _ := p.rows()
		_, seen = rows["tiny-2"]
	}
	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
	for gone := false; !gone; {
		_, ids := p.rows()
		gone = len(ids) > 0 && ids[0] == idOf(other)
	}
	// One that is chosen before it is there comes once it is.
	early := openPage(t, url+"/events?run="+idOf(dir+"/tiny-3"))
	early.rows()
	made(t, dir+"/tiny-3", steps(0, 4))
	if g = early.piece(); len(g.Train.Step) != 4 {
		t.Errorf("%+v", g)
	}
}

// TestDetails: settings, memory, commands and the profile come as the run's files have them.
func TestDetails(t *testing.T) {
	dir := t.TempDir()
	run := made(t, dir+"/a run", steps(0, 5))
	write(t, run+"/checkpoints/step-000005/state.json", "{}")
	write(t, run+"/crash.log", strings.Repeat("before\n", 9999)+"SIGSEGV: \xff\n")
	_, url := served(t, Options{Dirs: []string{run}, Program: "gpt2wgpu"})
	code, text := get(t, url+"/run/"+idOf(run))
	for _, want := range []string{`{"name":"lr","value":0.001}`, `{"role":"inputs","bytes":1048576}`,
		`{"step":5,"time":`, `a run' --resume"`,
		`"crash":"before\nbefore`, "SIGSEGV: \ufffd\\n\""} {
		if code != 200 || !strings.Contains(text, want) || len(text) > 20<<10 {
			t.Errorf("%d %s, want %s", code, text, want)
		}
	}
	profile := report.Profile{Step: "B=1", Dispatches: []report.Dispatch{{Label: "add", MS: 2}}}
	if err := report.WriteProfile(run, profile); err != nil {
		t.Fatal(err)
	}
	if code, text := get(t, url+"/run/"+idOf(run)+"/profile"); code != 200 || !strings.Contains(text, `"label":"add"`) {
		t.Errorf("%d %s", code, text)
	}
	write(t, run+"/profile.json", "{")
	code, text = get(t, url+"/run/"+idOf(run)+"/profile")
	if code != 422 || !strings.Contains(text, "profile.json is not") {
		t.Errorf("%d %s", code, text)
	}
}

// TestMemory: a run without a directory is shown from its records.
func TestMemory(t *testing.T) {
	s, url := served(t, Options{})
	records := s.Memory("not saved")
	s.Began(fmt.Appendf(nil, config, 1e-3))
	records.Add(metrics.Line{Kind: metrics.KindTrain, Loss: 3, Tokens: 64, MS: 1})
	p := openPage(t, url+"/events?run="+memoryID)
	rows, _ := p.rows()
	if r := rows["not saved"]; r.State != "running" || r.Steps != 20000 || !r.First {
		t.Errorf("%+v", rows)
	}
	if g := p.piece(); len(g.Train.Step) != 1 {
		t.Errorf("%+v", g)
	}
	records.Add(metrics.Line{Kind: metrics.KindSample, Step: 1, Text: "words"})
	if g := p.piece(); len(g.Sample) != 1 || g.Sample[0].Text != "words" {
		t.Errorf("%+v", g)
	}
	if code, text := get(t, url+"/run/"+memoryID); code != 200 || !strings.Contains(text, `"lr"`) {
		t.Errorf("%d %s", code, text)
	}
}

// TestSlowPage: a page that takes nothing is dropped, and others, and the files' writer, go on meanwhile.
func TestSlowPage(t *testing.T) {
	dir := t.TempDir()
	run := made(t, dir+"/tiny-1", steps(0, 20000))
	query := "?" + strings.Repeat("run="+idOf(run)+"&", mostChosen)
	// Beyond what the system's buffers take.
	s, url := served(t, Options{Dirs: []string{dir}}, func(s *Server) { s.patience = 10 * time.Millisecond })
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(c, "GET /events%s HTTP/1.1\r\nHost: localhost\r\n\r\n", query)
	if _, err := c.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	for range cap(s.streams) { // all places are free: it was dropped
		s.streams <- struct{}{}
	}
	for range cap(s.streams) {
		<-s.streams
	}
	if code, _ := get(t, url+"/"); code != http.StatusOK {
		t.Errorf("the next page got %d", code)
	}
}

// TestMostPages: more pages than there are places are refused in words.
func TestMostPages(t *testing.T) {
	s, url := served(t, Options{Dirs: []string{t.TempDir()}})
	for range cap(s.streams) {
		s.streams <- struct{}{}
	}
	if code, text := get(t, url+"/events"); code != 503 || !strings.Contains(text, "hint: close one") {
		t.Errorf("%d %s", code, text)
	}
	for range cap(s.streams) {
		<-s.streams
	}
}

// TestTenRuns follows ten runs of 20,000 steps: every step comes once, the server's memory does not grow with them, and
// nothing is left when it ends.
func TestTenRuns(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("follow", func(t *testing.T) {
		const n, each = 10, 20000
		dir := t.TempDir()
		text := steps(0, each)
		query := "?"
		var files []string
		for i := range n {
			run := made(t, fmt.Sprintf("%s/tiny-%d", dir, i), text)
			files = append(files, filepath.Join(run, "metrics.jsonl"))
			query += "run=" + idOf(run) + "&"
		}
		_, url := served(t, Options{Dirs: []string{dir}})
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		start := heap()
		p := openPage(t, url+"/events"+query)
		next := map[string]int{}
		read := func(until int) {
			for done := 0; done < n; {
				g := p.piece()
				for _, step := range g.Train.Step {
					if step != next[g.ID] {
						t.Fatalf("step %d of %s, want %d", step, g.ID, next[g.ID])
					}
					next[g.ID]++
				}
				if next[g.ID] == until {
					done++
				}
			}
		}
		read(each)
		bytes := p.bytes
		t.Logf("%d steps in %.1f MB, %.0f bytes each; %d bytes of files", n*each, float64(bytes)/1e6,
			float64(bytes)/n/each, n*len(text))
		if bytes > n*each*80 {
			t.Errorf("%d bytes for %d steps", bytes, n*each)
		}
		first := heap()
		for round := range 20 {
			from := each + 50*round
			more := steps(from, from+50)
			for _, f := range files {
				appendTo(t, f, more)
			}
			read(from + 50)
		}
		last := heap()
		t.Logf("heap: %d kB at the start, %d with all steps, %d after 10,000 more", start>>10, first>>10, last>>10)
		if grown := int64(first) - int64(start); grown > 8<<20 {
			t.Errorf("%d bytes of memory after %d steps", grown, n*each)
		}
		if grown := int64(last) - int64(first); grown > 1<<20 {
			t.Errorf("memory grew by %d bytes with 10,000 steps", grown)
		}
	})
	http.DefaultClient.CloseIdleConnections()
	for range 1000 { // those of net/http end by themselves
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
		runtime.GC()
	}
	if n := runtime.NumGoroutine(); n > before {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
	}
}

// TestOthersRuns: the directory of a run may be somebody else's. No link in it shows a file of who serves it, and no
// number hides the run.
func TestOthersRuns(t *testing.T) {
	needs.Symlinks(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.json")
	write(t, secret, `{"password":"xyzzy"}`)
	run := made(t, filepath.Join(dir, "runs/a"), `{"kind":"train","loss":1e308,"ms":1e308,"tokens_per_s":1e308}`+"\n"+
		`{"kind":"val","step":1,"loss":1e308,"bits_per_byte":1e-308}`+"\n"+steps(1, 3))
	if err := errors.Join(os.Remove(run+"/config.json"), os.Symlink(secret, run+"/config.json"),
		os.Symlink("../../secret.json", run+"/crash.log")); err != nil {
		t.Fatal(err)
	}
	other := made(t, filepath.Join(dir, "runs/b"), "")
	lines := filepath.Join(dir, "lines")
	write(t, lines, steps(0, 7)+`{"kind":"sample","step":6,"text":"xyzzy"}`+"\n")
	if err := errors.Join(report.WriteProfile(dir, report.Profile{Step: "xyzzy"}), os.Remove(other+"/metrics.jsonl"),
		os.Symlink(lines, other+"/metrics.jsonl"),
		os.Symlink("../../profile.json", other+"/profile.json")); err != nil {
		t.Fatal(err)
	}
	s, url := served(t, Options{Dirs: []string{filepath.Join(dir, "runs")}})
	if code, text := get(t, url+"/run/"+idOf(run)); code != 200 || strings.Contains(text, "xyzzy") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := get(t, url+"/run/"+idOf(other)+"/profile"); code == 200 || strings.Contains(text, "xyzzy") {
		t.Errorf("profile.json: %d %s", code, text)
	}
	if p, err := s.list.follow(idOf(other), metrics.Position{}).Next(); err == nil || len(p.Lines) > 0 {
		t.Errorf("metrics.jsonl: %d lines, %v", len(p.Lines), err)
	}
	if _, rows := s.list.rows(); len(rows) != 2 || !strings.Contains(rows[0], `"step":3,`) ||
		!strings.Contains(rows[1], `"step":0,`) {
		t.Errorf("rows %q", rows)
	}
}
