package main

import (
	"log/slog"

	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
	"github.com/gpt2wgpu/gpt2wgpu/train/tensorboard"
)

// eventFile is what --tensorboard writes. Where it cannot be written that is a warning, and no other record follows.
type eventFile struct {
	out string
	log *slog.Logger
	w   *tensorboard.Writer
}

func (f *eventFile) began(b train.Beginning) {
	var settings []tensorboard.Setting
	if r, err := runs.Read(f.out); err == nil {
		for _, s := range r.Settings {
			settings = append(settings, tensorboard.Setting(s))
		}
	}
	var err error
	f.w, err = tensorboard.Open(f.out, b.First, settings)
	f.check(err)
}

func (f *eventFile) record(m metrics.Line) {
	if f.w != nil {
		f.check(f.w.Write(m))
	}
}

func (f *eventFile) check(err error) {
	if err != nil {
		f.log.Warn(err.Error())
		f.close()
	}
}

func (f *eventFile) close() {
	if f.w != nil {
		f.w.Close()
		f.w = nil
	}
}
