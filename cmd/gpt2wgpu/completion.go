package main

import (
	"context"
	_ "embed"
	"io"
	"maps"
	"slices"
	"strings"
)

//go:embed completion/bash
var bashScript string

//go:embed completion/zsh
var zshScript string

//go:embed completion/fish
var fishScript string

//go:embed completion/powershell
var powershellScript string

// completionScripts ask this program for the candidates, see completeWord.
var completionScripts = map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript,
	"powershell": powershellScript}

var completionCommand = &command{
	group: "This program",
	name:  "completion",
	args:  "bash | zsh | fish | powershell",
	short: "Print a completion script for bash, zsh, fish or powershell",
	long: `
With the script a shell completes commands, flags and what these take: presets, devices, datasets, the runs in runs/,
files. It asks the program itself, so that it stays as it is when the program changes. For every new shell:

  bash        the first command below in ~/.bashrc
  zsh         source <(gpt2wgpu completion zsh) in ~/.zshrc, behind compinit
  fish        gpt2wgpu completion fish > ~/.config/fish/completions/gpt2wgpu.fish
  powershell  gpt2wgpu completion powershell | Out-String | Invoke-Expression in $PROFILE (not tried)`,
	examples: []string{
		"source <(gpt2wgpu completion bash)",
		"gpt2wgpu completion zsh > _gpt2wgpu",
	},
	setup: func(*flagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			shells := strings.Join(slices.Sorted(maps.Keys(completionScripts)), ", ")
			if len(args) != 1 {
				return usagef("%d shells, want one of %s; hint: gpt2wgpu completion bash", len(args), shells)
			}
			script, ok := completionScripts[args[0]]
			if !ok {
				return usagef("%q, want one of %s; hint: gpt2wgpu completion bash", args[0], shells)
			}
			_, err := io.WriteString(e.stdout, script)
			return err
		}
	},
}
