package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/charmbracelet/log"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
	"github.com/muesli/termenv"

	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
)

// logOptions are the flags about messages on standard error.
type logOptions struct {
	format         string
	verbose, quiet bool
}

func (o logOptions) logger(w io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	switch {
	case o.verbose && o.quiet:
		return nil, usagef("-v and -q contradict each other; hint: use one")
	case o.verbose:
		level = slog.LevelDebug
	case o.quiet:
		level = slog.LevelWarn
	}
	switch o.format {
	case "", "text":
		return slog.New(textHandler(w, level)), nil
	case "json":
		return slog.New(jsonHandler(w, level)), nil
	}
	return nil, usagef("--log-format is %q, no such format; hint: text, json", o.format)
}

// events is a handler that understands train.Event: a message for people where its text is wanted, a short name and
// fields where programs read.
type events struct {
	slog.Handler
	fields bool
	room   func() int // columns of a message; 0: no limit
}

func (h events) Handle(ctx context.Context, r slog.Record) error {
	var event *train.Event
	var others []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(train.Event); ok {
			event = &e
		} else {
			others = append(others, a)
		}
		return true
	})
	message := r.Message
	switch {
	case h.fields && event != nil:
		message, others = event.Name, append(event.Attrs, others...)
	case event != nil && h.room() > 0:
		for _, short := range event.Short {
			if ansi.StringWidth(message) > h.room() {
				message = short
			}
		}
	}
	if !h.fields { // the handler escapes the values
		message = oneline.Of(message)
	}
	out := slog.NewRecord(r.Time, r.Level, message, r.PC)
	out.AddAttrs(others...)
	return h.Handler.Handle(ctx, out)
}

func (h events) WithAttrs(a []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(a)
	return h
}

func (h events) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// jsonHandler writes a JSON object a line.
func jsonHandler(w io.Writer, level slog.Level) slog.Handler {
	return events{fields: true, Handler: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch v := a.Value.Any().(type) {
			case slog.Level:
				a.Value = slog.StringValue(strings.ToLower(v.String()))
			case error:
				a.Value = slog.StringValue(v.Error())
			}
			if a.Key == slog.TimeKey {
				a.Value = slog.StringValue(a.Value.Time().Format("2006-01-02T15:04:05.000Z07:00"))
			}
			return a
		}})}
}

// logIndent is what stands before a message of the text log: "15:04:05 INFO ".
const logIndent = 14

// textHandler writes lines for people. The library asks a terminal that it is given for its background, and waits for
// an answer that some never give: so it gets a writer that is none, and the colours that the environment names.
func textHandler(w io.Writer, level slog.Level) slog.Handler {
	logger := log.NewWithOptions(&wrapped{w: w, indent: logIndent}, log.Options{ReportTimestamp: true,
		TimeFormat: "15:04:05", Level: log.Level(level)})
	if f, ok := terminal(w); ok {
		logger.SetColorProfile(termenv.NewOutput(f).EnvColorProfile())
	}
	return events{Handler: logger, room: func() int { return max(0, columns(w)-logIndent) }}
}

// terminal returns the file of a stream that a person looks at.
func terminal(stream any) (*os.File, bool) {
	if v, ok := stream.(*visible); ok {
		stream = v.w
	}
	if s, ok := stream.(interface{ file() *os.File }); ok {
		stream = s.file()
	}
	f, ok := stream.(*os.File)
	return f, ok && f != nil && isTerminalFile(f)
}

// columns returns the width of a stream's terminal, and 0 for what is none: there lines stay whole.
func columns(stream any) int {
	f, ok := terminal(stream)
	if !ok {
		return 0
	}
	if width, _, err := term.GetSize(f.Fd()); err == nil && width > 0 {
		return width
	}
	if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && width > 0 {
		return width
	}
	return 80 // a terminal that has no size, as script and docker make
}

// wrapped breaks lines between words where they are longer than the terminal, with an indent from the second on. A word
// stays whole, so that a path can be copied, and so does a line of JSON.
type wrapped struct {
	w      io.Writer
	indent int
	rest   []byte // of a line that has not ended
}

func (o *wrapped) Write(p []byte) (int, error) {
	o.rest = append(o.rest, p...)
	end := bytes.LastIndexByte(o.rest, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	whole := string(o.rest[:end])
	o.rest = append(o.rest[:0], o.rest[end:]...)
	if _, err := io.WriteString(o.w, wrap(whole, columns(o.w), o.indent)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// file is the terminal that it writes to; nil: none.
func (o *wrapped) file() *os.File {
	f, _ := terminal(o.w)
	return f
}

// flush writes a last line that has not ended.
func (o *wrapped) flush() {
	io.WriteString(o.w, wrap(string(o.rest), columns(o.w), o.indent))
	o.rest = nil
}

// wrap breaks each line of text at its spaces, with an indent from its second on, beside its own; a width of 0 breaks
// none.
func wrap(text string, width, indent int) string {
	if width == 0 {
		return text
	}
	if width < 3*indent {
		indent = 0
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if ansi.StringWidth(line) <= width || strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
			continue
		}
		var broken []string
		now, indent := "", indent+len(line)-len(strings.TrimLeft(line, " "))
		for at, word := range strings.SplitAfter(line, " ") {
			if column := ansi.StringWidth(now); at > 0 && column > indent &&
				column+ansi.StringWidth(strings.TrimSuffix(word, " ")) > width {
				broken, now = append(broken, strings.TrimRight(now, " ")), strings.Repeat(" ", indent)
			}
			now += word
		}
		lines[i] = strings.Join(append(broken, now), "\n")
	}
	return strings.Join(lines, "\n")
}
