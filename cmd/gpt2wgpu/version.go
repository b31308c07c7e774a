package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker for releases: -ldflags "-X main.version=v1.2.3".
var version = ""

var versionCommand = &command{
	group:    "This program",
	name:     "version",
	short:    "Print the version",
	long:     "The version is that of the release, or of the commit that the program was built from.",
	examples: []string{"gpt2wgpu version"},
	setup: func(*flagSet) runFunc {
		return func(_ context.Context, e *env, _ []string) error {
			_, err := fmt.Fprintf(e.stdout, "gpt2wgpu %s (%s, %s/%s)\n", programVersion(), runtime.Version(),
				runtime.GOOS, runtime.GOARCH)
			return err
		}
	},
}

// programVersion is what config.json and checkpoints record.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+dirty"
		}
	}
	return "devel" + commit + changed
}
