package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
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

// visible is a terminal that gets text: of control characters, which a byte-level model may write too and a terminal
// would obey or answer, it gets signs in their place. Nothing that the program prints on standard output has colours.
type visible struct{ w io.Writer }

func (v visible) Write(p []byte) (int, error) {
	shown := make([]byte, 0, len(p))
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' || b == 0x7f {
			shown = append(shown, "\uFFFD"...)
		} else {
			shown = append(shown, b)
		}
	}
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
