package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// pause waits 1, 2, 4, ... at most 30 seconds, a little varied so that many clients don't come back at once.
func pause(ctx context.Context, attempt int, atLeast time.Duration) error {
	d := min(time.Second<<min(attempt, 5), 30*time.Second)
	d = max(d+time.Duration(rand.Int64N(int64(d/2))), atLeast)
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// final marks an error that another attempt wouldn't mend.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

// busy is a server's wish to be asked again later.
type busy struct {
	error
	after time.Duration
}

// retry calls try until it succeeds, fails for good, has failed five times in a row without moving on, or two hundred
// times in all.
func (f *fetcher) retry(ctx context.Context, u string, try func(context.Context) (moved bool, err error)) error {
	const attempts, most = 5, 200
	for all, failed := 1, 0; ; all++ {
		moved, err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: stopped: %w; hint: run the same command again to continue", u, ctx.Err())
		}
		var fin final
		if errors.As(err, &fin) {
			return fmt.Errorf("%s: %w", u, fin.error)
		}
		if moved {
			failed = 0
		}
		if failed++; failed == attempts || all == most || noHost(err) {
			return fmt.Errorf("%s: %w; hint: check the network (and HTTPS_PROXY, if there is a proxy), then run the "+
				"same command again: it continues where it stopped", u, plain(err))
		}
		f.o.Log.Warn("trying again", "url", u, "error", plain(err))
		var b busy
		errors.As(err, &b)
		if err := f.o.pause(ctx, failed-1, b.after); err != nil {
			return fmt.Errorf("%s: stopped: %w; hint: run the same command again to continue", u, err)
		}
	}
}

// noHost reports that a host's name is unknown, which waiting doesn't change.
func noHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// plain takes off the URL that net/http puts before its errors; ours has it already.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refused is the error for a status that isn't success.
func refused(resp *http.Response) error {
	err := fmt.Errorf("the server answered %s", resp.Status)
	if m := resp.Header.Get("X-Error-Message"); m != "" { // the hub's own words
		err = fmt.Errorf("%w (%.200s)", err, strings.Join(strings.Fields(m), " "))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return final{fmt.Errorf("%w; hint: set HF_TOKEN to a token that may read this repository", err)}
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return busy{err, time.Duration(min(max(seconds, 0), 600)) * time.Second}
	}
	return final{fmt.Errorf("%w; hint: the file may have moved: report this as a bug", err)}
}

func (f *fetcher) get(ctx context.Context, u string, hub bool, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, final{fmt.Errorf("%w; hint: check HF_ENDPOINT", err)}
	}
	req.Header.Set("User-Agent", "gpt2wgpu")
	req.Header.Set("Accept-Encoding", "identity") // byte ranges are of the file itself
	if hub && f.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.o.Token) // net/http keeps it from other hosts on a redirect
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return f.o.Client.Do(req)
}

// part is a file that is not complete: dest.part, and beside it dest.part.tag with the tag.
type part struct {
	*os.File
	path string
	at   int64  // bytes that are there
	tag  string // the version of the file that they are of; "": unknown
	most int64  // bytes that it may have
	sum  string // the SHA-256 of the whole, where the hub reports it
}

// openPart opens what an earlier run left of a download, or begins anew. What is of an unknown version is dropped.
func openPart(path string) (*part, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		if err := os.Remove(path); err != nil { // a link would lead out of the cache
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	p := &part{File: f, path: path}
	if tag, e := plainfile.Read(p.tagFile(), 4<<10); e == nil && len(tag) > 0 {
		p.tag = string(tag)
		p.at, err = f.Seek(0, io.SeekEnd)
	} else {
		err = p.restart("")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

func (p *part) tagFile() string { return p.path + ".tag" }

// remove removes the part and its tag.
func (p *part) remove() {
	os.Remove(p.path)
	os.Remove(p.tagFile())
}

// restart drops all bytes. Those that come are of the version tag.
func (p *part) restart(tag string) error {
	p.at, p.tag = 0, tag
	_, err := p.Seek(0, io.SeekStart)
	if err = cmp.Or(err, p.Truncate(0)); err != nil || tag == "" {
		os.Remove(p.tagFile())
		return err
	}
	return atomicfile.Write(p.tagFile(), []byte(tag))
}

// disk is the error of a file that cannot be written, which another attempt wouldn't mend.
func disk(err error) error {
	if err == nil {
		return nil
	}
	return final{fmt.Errorf("%w; hint: check the disk's free space and the cache directory's permissions", err)}
}

// download brings u to the file dest and returns its SHA-256, which must be want if that isn't "".
func (f *fetcher) download(ctx context.Context, d cache.Dataset, u, dest, want string, hub bool) (string, error) {
	f.began, f.beganAt = time.Time{}, 0
	p, err := openPart(dest + ".part")
	if err != nil {
		return "", disk(err)
	}
	defer func() {
		if p.Close(); p.at == 0 { // nothing came that another run could continue
			p.remove()
		}
	}()
	p.most = limitOf(d, dest)
	err = f.retry(ctx, u, func(ctx context.Context) (moved bool, err error) { return f.attempt(ctx, u, p, hub) })
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(p, 0, p.at)); err != nil {
		return "", fmt.Errorf("%w; hint: check the disk", err)
	}
	got := fmt.Sprintf("%x", h.Sum(nil))
	if want = cmp.Or(want, p.sum, got); got != want {
		p.Close()
		p.remove()
		return "", fmt.Errorf("%s: SHA-256 %s, want %s; hint: the file was removed; try again, and if that doesn't "+
			"help it has changed at its source: report this as a bug", u, got, want)
	}
	if err := atomicfile.Publish(p.File, dest); err != nil {
		return "", disk(err)
	}
	os.Remove(p.tagFile())
	if err := checkContent(d, dest); err != nil {
		os.Remove(dest)
		return "", fmt.Errorf("%s: %s; hint: the file was removed; try again, and check the network (and HTTPS_PROXY, "+
			"if there is a proxy)", u, withoutHint(err))
	}
	return got, nil
}

var sha256Text = regexp.MustCompile("^[0-9a-f]{64}$") // of a small file the hub reports git's hash, which is shorter

// progressBytes is how many bytes are progress: fewer in a minute, or before a connection breaks, are none.
const progressBytes = 64 << 10

// attempt continues a download where the part ends. moved: bytes have come that count as progress.
func (f *fetcher) attempt(ctx context.Context, u string, p *part, hub bool) (moved bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(f.o.stall, func() { cancel(fmt.Errorf("hardly a byte came for %v", f.o.stall)) })
	defer stalled.Stop()
	header := map[string]string{}
	if p.at > 0 {
		header["Range"] = fmt.Sprintf("bytes=%d-", p.at)
	}
	resp, err := f.get(ctx, u, hub, header)
	if err != nil {
		return false, cmp.Or(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	version := versionOf(resp)
	if hub && sha256Text.MatchString(version) {
		p.sum = version
	}
	begin, total := contentRange(resp)
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		if err := p.restart(version); err != nil {
			return false, disk(err)
		}
		total = resp.ContentLength
	case code == http.StatusPartialContent && begin == p.at && version == p.tag:
	case code == http.StatusRequestedRangeNotSatisfiable && total == p.at && version == p.tag: // all of it is there
		return false, nil
	case code == http.StatusPartialContent || code == http.StatusRequestedRangeNotSatisfiable:
		err := fmt.Errorf("the file has changed since its first %d bytes came: starting anew", p.at)
		return false, cmp.Or(disk(p.restart("")), err)
	default:
		return false, refused(resp)
	}
	tooLarge := func(n int64) error {
		return final{fmt.Errorf("a file of %d bytes or more, want at most %d; hint: it is another file than was "+
			"published: report this as a bug", n, p.most)}
	}
	if total > p.most {
		return false, tooLarge(total)
	}
	buf := make([]byte, 256<<10)
	for came := 0; ; {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if came += n; came >= progressBytes {
				came, moved = 0, true
				stalled.Reset(f.o.stall)
			}
			if p.at+int64(n) > p.most {
				return moved, cmp.Or(disk(p.restart("")), tooLarge(p.at+int64(n)))
			}
			if _, err := p.Write(buf[:n]); err != nil {
				return moved, disk(err)
			}
			p.at += int64(n)
			f.progress(p.at, total, false)
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return moved, fmt.Errorf("after %d bytes: %w", p.at, cmp.Or(context.Cause(ctx), err))
		}
	}
	if total >= 0 && p.at != total {
		return moved, fmt.Errorf("the connection closed after %d of %d bytes", p.at, total)
	}
	f.progress(p.at, p.at, true)
	return moved, nil
}

// versionOf returns what distinguishes one version of a file from another: of the hub's large files their SHA-256,
// which the redirect to its storage carries, else the ETag. It is never empty.
func versionOf(resp *http.Response) string {
	linked := ""
	for r := resp; r != nil && r.Request != nil && linked == ""; r = r.Request.Response {
		linked = r.Header.Get("X-Linked-Etag")
	}
	tag := cmp.Or(linked, resp.Header.Get("ETag"))
	return cmp.Or(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), "unknown")
}

// contentRange reads "bytes BEGIN-END/WHOLE" or "bytes */WHOLE"; -1 for what is missing.
func contentRange(resp *http.Response) (begin, whole int64) {
	number := func(s string) int64 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		return -1
	}
	span, size, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	return number(first), number(size)
}

func (f *fetcher) progress(at, total int64, last bool) {
	now := time.Now()
	if f.began.IsZero() {
		f.began, f.beganAt = now, at
	}
	if f.o.Progress == nil || !last && now.Sub(f.reported) < 500*time.Millisecond {
		return
	}
	f.reported = now
	p := f.now
	p.Bytes, p.Total = at, max(0, total)
	if s := now.Sub(f.began).Seconds(); s > 0 && at > f.beganAt {
		p.BytesPerSecond = float64(at-f.beganAt) / s
		if total > at {
			p.ETA = time.Duration(float64(total-at) / p.BytesPerSecond * float64(time.Second))
		}
	}
	f.o.Progress(p)
}
