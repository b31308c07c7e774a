package train

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// checkpointBytes returns about how many bytes a checkpoint of the run takes on the disk: weights, the optimizer's
// state and the momentum of outer steps in float32 with their headers, and the small files.
func (c Config) checkpointBytes() uint64 {
	const (
		entry = 115     // of a safetensors header, for a tensor
		texts = 8 << 10 // config.json, state.json and the like
	)
	bytes := texts + tokenizerBytes[c.Tokenizer]
	add := func(values int) { bytes += 4*values + entry }
	for _, p := range gpt2.Table(c.Model()) {
		add(p.Size())
		if c.local() {
			add(p.Size())
		}
	}
	for _, t := range c.optimizer().State(c.Model()) {
		add(t.Size())
	}
	return uint64(bytes)
}

// tokenizerBytes is what the files of a tokenizer take.
var tokenizerBytes = map[string]int{"gpt2": 1600 << 10, "bytes": 8 << 10}

// checkSpace refuses to train where the disk cannot hold one more checkpoint, and warns where it cannot hold those that
// --keep keeps beside the one that is being written.
func (r *run) checkSpace() error {
	if r.cfg.Out == "" || r.group.Rank() > 0 {
		return nil
	}
	free, known := freeSpace(r.cfg.Out)
	if !known {
		return nil
	}
	one := r.cfg.checkpointBytes()
	if free < one {
		return fmt.Errorf("--out %s: %s free, a checkpoint takes %s; hint: free space on this disk, or take an "+
			"--out on another",
			r.cfg.Out, gpu.HumanBytes(free), gpu.HumanBytes(one))
	}
	r.env.Log.Info(fmt.Sprintf("a checkpoint takes %s; %s free in %s", gpu.HumanBytes(one), gpu.HumanBytes(free),
		r.cfg.Out))
	most := r.cfg.mostCheckpoints() - len(gpt2.Checkpoints(r.cfg.Out))
	if most > 1 && free < one*uint64(most) {
		r.env.Log.Warn(fmt.Sprintf("the disk may be full before the run ends: %s free, %d more checkpoints of %s "+
			"may be kept (--keep %d, and the one being written); hint: free space, or a smaller --keep",
			gpu.HumanBytes(free), most, gpu.HumanBytes(one), r.cfg.Keep))
	}
	return nil
}

// mostCheckpoints returns how many checkpoints there are at most at a time.
func (c Config) mostCheckpoints() int {
	saves := 1
	if c.SaveEvery > 0 {
		saves += c.Steps / c.SaveEvery
	}
	if c.Keep > 0 && (saves > c.Keep || c.SaveMinutes > 0) {
		return c.Keep + 1 // the oldest goes when the newest is complete
	}
	return saves
}

// freeSpace returns the bytes that this process may still write to dir's file system; it is replaced by tests.
var freeSpace = func(dir string) (free uint64, known bool) {
	path, err := filepath.EvalSymlinks(existing(dir))
	if err != nil {
		return 0, false
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return 0, false
	}
	return diskFree(path)
}
