package train

import "log/slog"

// Event is what happened, for programs that read the log: the attribute of a line whose message says the same for
// people. A handler that knows it writes either (--log-format).
type Event struct {
	Name  string      // step, validation, checkpoint, …
	Short []string    // shorter messages for narrow terminals, the longest first
	Attrs []slog.Attr // numbers in full precision, under the names of metrics.jsonl
}

// LogValue is what other handlers write.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.Attrs...) }

// NewEvent makes the attribute; fields are keys and values in turns.
func NewEvent(name string, fields ...any) slog.Attr {
	return slog.Any("event", Event{Name: name, Attrs: attrs(fields...)})
}

func attrs(fields ...any) (out []slog.Attr) {
	for i := 0; i+1 < len(fields); i += 2 {
		out = append(out, slog.Any(fields[i].(string), fields[i+1]))
	}
	return out
}
