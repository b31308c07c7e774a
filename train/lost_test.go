package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// echo is a group of two ranks of which the other does as this one does. From a number of calls of one kind on it does
// not answer.
type echo struct {
	ranks.Group
	sums, gathers int // calls that it answers; less than 0, all
}

func (e *echo) Size() int               { return 2 }
func (e *echo) Bcast([]byte, int) error { return nil }
func (e *echo) answer(left *int) error {
	if *left == 0 {
		return &ranks.LostError{Ranks: []int{1}, Waited: time.Second}
	}
	*left--
	return nil
}

func (e *echo) AllreduceSum(v []float32, _ ranks.Wire) error {
	for i := range v {
		v[i] *= 2
	}
	return e.answer(&e.sums)
}

func (e *echo) Allgather(mine []byte) ([][]byte, error) {
	return [][]byte{mine, mine}, e.answer(&e.gathers)
}

// TestLostRank: whichever call another rank does not answer, rank 0 saves what it has, and the run that goes on ends in
// the weights of one in which all ranks answered. A step that ends without its loss counts, without a line.
func TestLostRank(t *testing.T) {
	with := func(c Job, e *echo) error {
		env := quiet()
		e.Group = ranks.Alone()
		env.Group = e
		return Run(context.Background(), c, env)
	}
	weights := func(c Job) string {
		dir, err := gpt2.LatestCheckpoint(c.Out)
		must(t, err)
		raw, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		must(t, err)
		return string(raw)
	}
	setup := func() Job {
		c := stepsOnly(t)
		c.SaveEvery, c.Steps = 0, 2
		return c
	}
	whole, all := setup(), &echo{sums: -1, gathers: -1}
	must(t, with(whole, all))
	want := weights(whole)
	var cases []*echo
	for calls := range -1 - all.sums {
		cases = append(cases, &echo{sums: calls, gathers: -1})
	}
	for calls := range -1 - all.gathers {
		cases = append(cases, &echo{sums: -1, gathers: calls})
	}
	saved := map[string]int{}
	for _, e := range cases {
		c, name := setup(), fmt.Sprintf("%d sums, %d gathers", e.sums, e.gathers)
		err := with(c, e)
		wantError(t, err, "rank 0 of 2: ", "no answer of rank 1 for 1s", "; hint: ")
		_, after, ok := strings.Cut(err.Error(), "; step ")
		if !ok { // before the first step
			continue
		}
		var step int
		fmt.Sscan(after, &step)
		logged := len(trainMetrics(t, c.Out))
		saved[fmt.Sprintf("%d steps, %d lines", step, logged)]++
		c.Resume = true
		must(t, with(c, &echo{sums: -1, gathers: -1}))
		if weights(c) != want {
			t.Errorf("%s: other weights than of the whole run, after %v", name, err)
		}
		if lines := len(trainMetrics(t, c.Out)); lines != c.Steps-step+logged {
			t.Errorf("%s: %d lines of %d steps, of which %d had %d", name, lines, c.Steps, step, logged)
		}
	}
	// Three sums a step, one gathering of the losses after it, and three in the save at the end.
	if got, want := fmt.Sprint(saved), "map[0 steps, 0 lines:4 1 steps, 0 lines:1 1 steps, 1 lines:3 "+
		"2 steps, 1 lines:1 2 steps, 2 lines:3]"; got != want {
		t.Errorf("saved: %s, want %s", got, want)
	}
}
