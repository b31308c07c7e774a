package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// What becomes of output that can't be written: nobody reads it any more, its terminal has gone, its disk is full.

// messages is standard error. What can't be written there is lost, and nothing else.
type messages struct{ f *os.File }

func (m messages) file() *os.File { return m.f }

func (m messages) Write(p []byte) (int, error) {
	m.f.Write(p)
	return len(p), nil
}

// results is standard output. Where its reader has gone the process ends as that reader's pipe would have it: quietly,
// since nobody wants the rest.
type results struct{ f *os.File }

func (r results) file() *os.File { return r.f }

func (r results) Write(p []byte) (int, error) {
	n, err := r.f.Write(p)
	if err != nil && readerGone(err) {
		endOfPipe(r.f, p[n:])
	}
	if err != nil {
		err = fmt.Errorf("standard output cannot be written: %w; hint: check the space on its disk", err)
	}
	return n, err
}

// visible is a terminal that gets text. A byte-level model may write anything: what a terminal would obey, answer, draw
// in no column or not understand (control and format characters, marks, invalid UTF-8) becomes a sign. Nothing that
// the program prints on standard output has colours.
type visible struct {
	w    io.Writer
	rest []byte // the beginning of a character whose end a later write has
}

func (v *visible) Write(p []byte) (int, error) {
	text, shown := append(v.rest, p...), make([]byte, 0, len(p))
	for len(text) > 0 && utf8.FullRune(text) {
		r, n := utf8.DecodeRune(text)
		if r != '\n' && r != '\t' && (!unicode.IsPrint(r) || unicode.IsMark(r)) {
			r = utf8.RuneError
		}
		shown, text = utf8.AppendRune(shown, r), text[n:]
	}
	v.rest = slices.Clone(text)
	if _, err := v.w.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lasting is standard output of a command that goes on without it.
type lasting struct {
	w    io.Writer
	log  *slog.Logger
	once sync.Once
}

// lastingOutput makes what can't be written on standard output a warning from here on.
func (e *env) lastingOutput() {
	w := e.stdout
	if r, ok := w.(results); ok {
		w = r.f
	}
	e.stdout = &lasting{w: w, log: e.log}
}

func (l *lasting) Write(p []byte) (int, error) {
	if _, err := l.w.Write(p); err != nil {
		l.once.Do(func() {
			var path *os.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			l.log.Warn(fmt.Sprintf("standard output cannot be written (%v); the run goes on, its samples are in "+
				"metrics.jsonl", err))
		})
	}
	return len(p), nil
}
