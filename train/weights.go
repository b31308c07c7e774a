package train

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"strconv"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// beginning is what a new run begins with.
type beginning struct {
	weights *gpt2.Weights  // nil: random ones
	tok     data.Tokenizer // nil: that of the settings
	special gpt2.Special
}

// begin reads the weights of --init, and completes the settings from them: shape and tokenizer. From scratch there are
// none.
func (j *Job) begin(log *slog.Logger) (b beginning, err error) {
	if !j.FromWeights() {
		*j = j.Resolved()
		return b, j.Model().Validate()
	}
	w, src, err := j.initWeights()
	if err != nil {
		return b, fmt.Errorf("--init %w", err)
	}
	if b.tok, err = j.takeShape(w.Config, src.Path, src.Tokenizer); err != nil {
		return b, err
	}
	log.Info(fmt.Sprintf("fine-tuning from %s: %d parameters, context %d, vocabulary %d, tokenizer %s",
		nameAndPath(j.Init, src.Path), gpt2.ParamCount(w.Config), w.Config.BlockSize, w.Config.VocabSize, j.Tokenizer))
	if j.FineTuned {
		muon := ""
		if j.Optimizer == "muon" {
			muon = fmt.Sprintf(" --muon-lr %v", j.MuonLR)
		}
		log.Info(fmt.Sprintf("fine-tuning rates: --lr %v%s --min-lr %v --warmup-steps %d (a tenth of the preset's, "+
			"where no flag gives them)", j.LR, muon, j.MinLR, j.WarmupSteps))
	}
	if cut := w.Config.BlockSize - j.BlockSize; cut > 0 {
		log.Info("the context is shortened: the weights' last positions are dropped", "positions", cut)
		w = w.Crop(j.BlockSize)
	}
	b.special = src.Special
	if more := j.VocabSize - w.Config.VocabSize; more > 0 {
		log.Info("the vocabulary is padded with rows that are the mean of the weights' own", "rows", more)
	}
	b.weights = w.Pad(j.VocabSize)
	return b, j.Validate()
}

// nameAndPath is what was asked for and, where it differs, the path that was read.
func nameAndPath(name, path string) string {
	if path == name {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, path)
}

// takeShape completes the settings from those of the weights at path: a shape left open is theirs, one that was asked
// for must be, but for the vocabulary, which is padded or cut, and the context, which may be shorter. The same goes for
// the tokenizer, which it returns; tokenizer is what a checkpoint says of it, or empty.
func (j *Job) takeShape(has gpt2.Config, path, tokenizer string) (data.Tokenizer, error) {
	for _, s := range ModelSettings() {
		set, has := s.In(j).(*int), s.value(Job{Config: Config{Config: has}}).(int)
		if *set == 0 {
			*set = has
		}
		if *set != has && s.Name != "vocab_size" && !(s.Name == "block_size" && *set < has) {
			return nil, fmt.Errorf("--%s is %d, the weights of %s have %d; hint: leave --%s out", s.Flag(), *set, path,
				has, s.Flag())
		}
	}
	if j.SeqLen > j.BlockSize {
		return nil, fmt.Errorf("--seq-len is %d, longer than the context of the weights of %s, %d; hint: leave "+
			"--seq-len out, or --seq-len %d", j.SeqLen, path, j.BlockSize, j.BlockSize)
	}
	tok, err := data.ModelTokenizer(j.Tokenizer, tokenizer, path, has.VocabSize)
	if err != nil {
		return nil, err
	}
	if tok.Name() == "ids" && j.Tokenizer == "" { // nothing is known of the weights' own: then the shards say it
		if made, err := data.TokenizerOf(j.Data); err == nil && made != "" {
			if t, err := data.NewTokenizer(made); err == nil && t.VocabSize() <= has.VocabSize {
				tok = t
			}
		}
	}
	j.Tokenizer = cmp.Or(j.Tokenizer, tok.Name())
	*j = j.Resolved()
	return tok, nil
}

// initWeights reads the weights of --init; published ones are in the cache (see data/fetch).
func (c Config) initWeights() (*gpt2.Weights, gpt2.Source, error) {
	path := c.Init
	if gpt2.Published(path) {
		var err error
		if path, err = cache.Model(path); err != nil {
			return nil, gpt2.Source{}, err
		}
	}
	return gpt2.Load(path)
}

// fineTuneShare is the part of a preset's learning rates and warmup that a run from weights takes: what they have
// learned at the end of a falling schedule is lost again at its peak. A tenth is where the presets' own schedules end,
// and build-nanogpt's with them.
const fineTuneShare = 0.1

// FineTune returns c, the settings of a run from weights, with rates that suit it: a tenth of the preset's --lr,
// --muon-lr and --warmup-steps, where they weren't given, and a --min-lr that stays in the preset's proportion to --lr.
// preset is what c would be without any flag. scaled says whether anything changed.
func (c Config) FineTune(preset Config, given func(flag string) bool) (_ Config, scaled bool) {
	was := c
	if !given("lr") {
		c.LR = tidy(preset.LR * fineTuneShare)
	}
	if !given("muon-lr") && c.Optimizer == "muon" {
		c.MuonLR = tidy(preset.MuonLR * fineTuneShare)
	}
	if !given("min-lr") && preset.LR > 0 {
		c.MinLR = tidy(preset.MinLR / preset.LR * c.LR)
	}
	if !given("warmup-steps") {
		c.WarmupSteps = int(math.Ceil(float64(preset.WarmupSteps) * fineTuneShare))
	}
	return c, c != was
}

// tidy rounds to 12 digits, so that a tenth of 0.0006 is 0.00006 and not 0.00006000000000000001.
func tidy(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64) // reads what Go has written
	return r
}
