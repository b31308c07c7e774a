package train

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
)

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// onLog calls f with every record's message.
type onLog struct {
	slog.Handler
	f func(level slog.Level, text string)
}

func (h onLog) Enabled(context.Context, slog.Level) bool { return true }
func (h onLog) Handle(_ context.Context, r slog.Record) error {
	h.f(r.Level, r.Message)
	return nil
}
