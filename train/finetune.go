package train

import (
	"math"
	"strconv"
)

// fineTuneShare is the part of a preset's learning rates and warmup that a run from weights takes: what they have
// learned at the end of a falling schedule is lost again at its peak. A tenth is where the presets' own schedules end,
// and build-nanogpt's with them.
const fineTuneShare = 0.1

// FineTune returns c, the settings of a run from weights, with rates that suit it: a tenth of the preset's --lr and
// --warmup-steps, where they weren't given, and a --min-lr that stays in the preset's proportion to --lr. preset is
// what c would be without any flag. scaled says whether anything changed.
func (c Config) FineTune(preset Config, given func(flag string) bool) (_ Config, scaled bool) {
	was := c
	if !given("lr") {
		c.LR = tidy(preset.LR * fineTuneShare)
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
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		return v
	}
	return r
}
