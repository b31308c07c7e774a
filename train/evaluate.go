package train

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// What a run measures on its way: validation, HellaSwag, samples. Gradients and parameters stay as they are.

// instruments are what it takes for that on the device, beside the step.
type instruments struct {
	eval    *model.Evaluator // nil: no HellaSwag
	sampler *model.Sampler   // nil: no samples
}

func newInstruments(s *Step, c Config, rank int) (i instruments, err error) {
	if c.measuresHellaSwag() {
		if i.eval, err = s.Training.Evaluator(c.BlockSize); err != nil {
			return i, err
		}
	}
	if c.SampleEvery > 0 && rank == 0 {
		if i.sampler, err = s.Model.NewSampler(1); err != nil {
			return i, err
		}
		err = i.sampler.Prepare()
	}
	return i, err
}

// validate measures the loss on the validation data, from its start; ranks share it. Data that cannot be read is only
// warned about: training does without.
func (r *run) validate() error {
	r.val.Reset()
	tokens, bytes := 0, 0 // bytes 0: not known
	loss, err := r.Training.EvalLoss(r.valSteps, func(x, y []uint32) error {
		if err := r.val.Next(x, y); err != nil {
			return &unreadable{err}
		}
		tokens, bytes = tokens+len(y), bytes+bytesOf(y, r.tokenBytes)
		return nil
	})
	failed := false
	if bad := (*unreadable)(nil); errors.As(err, &bad) {
		text, _, _ := strings.Cut(err.Error(), "; hint: ")
		r.warnf("step %d: no validation: %s", r.step, text)
		failed = true
	} else if err != nil {
		return err
	}
	sum, err := ranks.SumFloats(r.group, loss/float64(r.group.Size()), ranks.Flag(failed), float64(bytes))
	if err != nil {
		return err
	}
	if loss = sum[0]; sum[1] > 0 {
		return nil
	}
	bits := metrics.BitsPerByte(loss, tokens*r.group.Size(), int(sum[2]))
	level := slog.LevelInfo
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		level = slog.LevelWarn
	}
	r.env.Log.Log(context.Background(), level, fmt.Sprintf("step %d: validation loss %.6f", r.step, loss),
		NewEvent("validation", "step", r.step, "loss", metrics.Float(loss)))
	m := metrics.Validation{Step: r.step, Loss: metrics.Float(loss), BitsPerByte: bits}
	r.ends.validation(m)
	r.recorded(m.Line())
	return r.metrics.Val(m)
}

// bytesOf returns how many bytes of text ids stand for; nothing is known of ids that lengths lacks.
func bytesOf(ids []uint32, lengths []int) (bytes int) {
	for _, id := range ids {
		if int(id) < len(lengths) {
			bytes += lengths[id]
		}
	}
	return bytes
}

// scoreHellaSwag measures all questions, each rank its share. One that is interrupted ends the run before its step; the
// resumed run measures again.
func (r *run) scoreHellaSwag(ctx context.Context) error {
	score, err := r.hella.Score(ctx, nil)
	stopped, failed := ctx.Err() != nil, false
	var overflow *model.NotFiniteError
	switch {
	case stopped:
	case errors.As(err, &overflow): // not what the training needs: it goes on
		failed = true
		r.warnf("step %d: not measured: %v", r.step, err)
	case err != nil:
		return err
	}
	n := float64(score.N)
	sum, err := ranks.SumFloats(r.group, ranks.Flag(stopped), ranks.Flag(failed), n, n*float64(score.Acc),
		n*float64(score.AccNorm), n*float64(score.AccNormChars))
	if err != nil {
		return err
	}
	if sum[0] > 0 {
		return r.interrupt()
	}
	if sum[1] > 0 {
		return nil
	}
	share := func(i int) metrics.Float { return metrics.Float(math.Round(sum[i]) / sum[2]) }
	total := metrics.Score{N: int(sum[2]), Acc: share(3), AccNorm: share(4), AccNormChars: share(5)}
	r.env.Log.Info(fmt.Sprintf("step %d: HellaSwag: %d questions, acc %.4f, acc_norm %.4f, acc_norm_chars %.4f",
		r.step, total.N, total.Acc, total.AccNorm, total.AccNormChars), NewEvent("hellaswag", "step", r.step, "n",
		total.N, "acc", total.Acc, "acc_norm", total.AccNorm, "acc_norm_chars", total.AccNormChars))
	m := metrics.Hellaswag{Step: r.step, Score: total}
	r.recorded(m.Line())
	return r.metrics.Hellaswag(m)
}

// writer writes text of the model as it is now.
func (r *run) writer() Writer {
	return Writer{Step: r.step, Sampler: r.sampler, Tokenizer: r.tok, Special: r.special, Vocab: r.cfg.VocabSize}
}

// sampleTokens is the length of a sample on the way.
const sampleTokens = 32

// sample prints text of the model as it is now. An interrupt lets it end, as it lets the step: a text cut short would
// stay in the metrics, where the resumed run writes none of this step.
func (r *run) sample() error {
	length := sampleTokens
	if r.tok.Name() == "bytes" {
		length = 300
	}
	var emit func(string)
	if watch := r.env.Watch.Text; watch != nil {
		emit = func(text string) { watch(r.step, text) }
	}
	text, err := r.writer().Write(context.Background(), "", model.SampleOptions{
		MaxTokens: length, Temperature: 0.8, TopK: 50, TopP: 1, Seed: uint64(r.cfg.Seed) + uint64(r.step),
	}, emit)
	var overflow *model.NotFiniteError
	if errors.As(err, &overflow) { // not what the training needs: it goes on
		r.warnf("step %d: no sample: %v", r.step, err)
		return nil
	}
	if err != nil {
		return err
	}
	r.env.Log.Info(fmt.Sprintf("step %d: a sample", r.step), NewEvent("sample", "step", r.step, "text",
		strings.ToValidUTF8(text, "\uFFFD")))
	fmt.Fprintln(r.env.Stdout, text)
	m := metrics.Sample{Step: r.step, Text: text}
	r.recorded(m.Line())
	return r.metrics.Sample(m)
}
