package dashboard

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/report"
	"github.com/gpt2wgpu/gpt2wgpu/web/parts"
)

//go:embed page
var pageFiles embed.FS

// Options say what a dashboard shows.
type Options struct {
	Dirs    []string // runs, and directories that hold some, which are looked through again and again
	First   string   // the run that a page shows at first; empty: what has changed last
	Program string   // how a person starts this program, for the commands of the page
}

// The bounds of what one server does.
const (
	mostConnections = 128
	mostStreams     = 32 // pages that are open
	mostChosen      = 32 // runs whose curves one page shows
	mostHeader      = 16 << 10
	headerTime      = 10 * time.Second
	idleTime        = time.Minute
	patience        = 20 * time.Second // with a page that takes nothing
)

// Server serves the page and what it shows. It only reads.
type Server struct {
	list    *list
	program string
	open    bool     // other machines can reach it
	hosts   []string // names that a Host header may have, beside localhost and addresses
	streams chan struct{}

	tick     time.Duration // between looks at the files
	patience time.Duration
}

// New returns a server of the runs that o names.
func New(o Options) *Server {
	return &Server{list: newList(o.Dirs, o.First), program: o.Program, tick: time.Second / 2,
		streams: make(chan struct{}, mostStreams), patience: patience}
}

// Listen opens the address, HOST:PORT, :PORT or PORT; without a host it is the loopback's. Errors: those of the
// operating system.
func (s *Server) Listen(address string) (net.Listener, error) {
	host, port, err := SplitAddress(address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", net.JoinHostPort(host, port), err)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		s.hosts = append(s.hosts, strings.ToLower(host))
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		s.open = !at.IP.IsLoopback()
	}
	return l, nil
}

// SplitAddress returns the host and the port of an address as [Server.Listen] takes it. Error: it is malformed.
func SplitAddress(address string) (host, port string, err error) {
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", err
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return "", "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, port, nil
}

// Open reports whether other machines can reach the server.
func (s *Server) Open() bool { return s.open }

// Serve answers until ctx ends, and returns when no answer is under way. Errors: the listener's.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, IdleTimeout: idleTime,
		WriteTimeout: s.patience, MaxHeaderBytes: mostHeader,
		ErrorLog:    log.New(io.Discard, "", 0), // of broken connections
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(limit(l, mostConnections))
	server.Close()
	for range cap(s.streams) { // until the last stream has ended
		s.streams <- struct{}{}
	}
	for range cap(s.streams) {
		<-s.streams
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// limited is a listener with a bound on its open connections.
type limited struct {
	net.Listener
	free chan struct{}
	done chan struct{}
}

func limit(l net.Listener, most int) *limited {
	return &limited{l, make(chan struct{}, most), make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, free: l.free}, nil
}

func (l *limited) Close() error {
	close(l.done)
	return l.Listener.Close()
}

// counted is a connection that gives its place back once.
type counted struct {
	net.Conn
	free  chan struct{}
	ended sync.Once
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.ended.Do(func() { <-c.free })
	return err
}

// headers are those of every answer: the page loads nothing from other origins, and no other origin can read it.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cache-Control":                "no-store",
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	switch at := r.URL.Path; {
	case !s.knows(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "this dashboard is not reached by the name %q; hint: use an address "+
			"or localhost, or start it with --listen NAME:PORT", r.Host)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "the dashboard only reads: got %s, want GET", r.Method)
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
		refuse(w, http.StatusForbidden, "the request comes from another site; hint: open this address in a new tab")
	case at == "/events":
		s.events(w, r)
	case strings.HasPrefix(at, "/run/"):
		s.run(w, strings.TrimPrefix(at, "/run/"))
	default:
		s.file(w, at)
	}
}

// knows reports whether a Host header names this server. A name that an attacker made resolve to it does not.
func (s *Server) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return s.open || ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(s.hosts, host)
}

func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	http.Error(w, fmt.Sprintf(format, args...), code)
}

var types = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

// file serves a file of the page.
func (s *Server) file(w http.ResponseWriter, at string) {
	if at == "/" {
		at = "/index.html"
	}
	raw, err := fs.ReadFile(pageFiles, "page"+at)
	if name, ok := strings.CutPrefix(at, "/parts/"); ok {
		raw, err = fs.ReadFile(parts.Files, name)
	}
	if err != nil {
		refuse(w, http.StatusNotFound, "there is nothing at this address; hint: /")
		return
	}
	w.Header().Set("Content-Type", types[path.Ext(at)])
	w.Write(raw)
}

// details is what a page shows of one run beside its curves.
type details struct {
	Settings []setting        `json:"settings"`
	Memory   []memory         `json:"memory"`
	Saved    []checkpoint     `json:"checkpoints"`
	Commands []report.Command `json:"commands"`
	Crash    string           `json:"crash,omitempty"` // the end of what crashed processes have printed
}

type setting struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

type memory struct {
	Role  string `json:"role"`
	Bytes uint64 `json:"bytes"`
}

type checkpoint struct {
	Step int       `json:"step"`
	Time time.Time `json:"time"`
}

// run serves a run's details (ID) or its profile (ID/profile).
func (s *Server) run(w http.ResponseWriter, at string) {
	id, what, _ := strings.Cut(at, "/")
	s.list.refresh()
	var answer any
	var err error
	switch what {
	case "":
		answer = s.list.details(id, s.program)
	case "profile":
		if dir := s.list.dir(id); dir != "" {
			var p *report.Profile
			if p, err = report.ReadProfile(dir); p != nil {
				answer = p
			}
		}
	}
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "%v", err)
		return
	}
	if answer == nil {
		refuse(w, http.StatusNotFound, "no such run, or it has no such file; hint: reload the page")
		return
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(raw)
}
