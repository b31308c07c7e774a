package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o666))
	}

	want := Record{Config: DefaultConfig(), Version: "v1", DeviceName: "llvmpipe"}
	want.Steps, want.LR, want.Seed, want.Memory = 7, 1e-5, 1<<63+1, []RoleMemory{{"parameters", 5}}
	text, _ := json.MarshalIndent(want, "", "  ")
	write(string(text))
	var got Config
	if names, err := ReadConfig(path, &got); err != nil || got != want.Config || !slices.Contains(names, "n_layer") {
		t.Errorf("a whole config.json gives %+v, %v, %v", got, names, err)
	}

	write(`{"steps": 9, "beta2": 1e-1}`)
	want.Steps, want.Beta2 = 9, 0.1
	if names, err := ReadConfig(path, &got); err != nil || got != want.Config ||
		!slices.Equal(names, []string{"beta2", "steps"}) {
		t.Errorf("a part of one gives %+v, %v, %v", got, names, err)
	}

	for text, says := range map[string]string{
		"":                             "JSON",
		"[1]":                          "JSON",
		"null":                         "null",
		`{"steps": 5} {"steps": 6}`:    "JSON",
		`{"lr": NaN}`:                  "byte 7: NaN, which JSON does not have (Python",
		`{"N_LAYER": 5}`:               `unknown setting "N_LAYER"`,
		`{"no_autotune": 5}`:           `"no_autotune" is a number, want true or false`,
		`{"n_positions": 5}`:           `unknown setting "n_positions"`,
		`{"resume": true}`:             `unknown setting "resume"`, // of an invocation
		`{"steps": "many"}`:            `"steps" is a string, want a whole number`,
		`{"steps": 1.5}`:               `"steps" is 1.5, want a whole number`,
		`{"seed": -1}`:                 `"seed" is -1, want a whole number, 0 or more`,
		`{"lr": [1]}`:                  `"lr" is a list, want a number`,
		`{"schedule": 5, "steps": 11}`: `"schedule" is a number, want a string`,
	} {
		write(text)
		_, err := ReadConfig(path, &got)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "hint: ") ||
			!strings.HasPrefix(err.Error(), path) {
			t.Errorf("%q: %v, want it to say %q", text, err, says)
		}
		if got != want.Config {
			t.Errorf("%q changed the settings in spite of the error", text)
		}
	}
	_, err := ReadConfig(path+"x", &got)
	wantError(t, err, path+"x: ", "hint: name a JSON file")
	if strings.Contains(err.Error(), "stat ") {
		t.Errorf("%v, want no word of system calls", err)
	}
}

// A file that a run wrote keeps the behaviour of its time; one made by hand is completed by today's defaults.
func TestSettingsThatAFileLacks(t *testing.T) {
	for text, want := range map[string]float64{
		`{"steps": 5}`:                                    3,
		`{"steps": 5, "version": "1"}`:                    0,
		`{"steps": 5, "version": "1", "save_minutes": 7}`: 7,
		`{"steps": 5, "save_minutes": 8, "n_layer": 2}`:   8,
	} {
		path := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c := Config{SaveMinutes: 3, Optimizer: "muon", InitProjections: "zero", DecayFraction: 0.5}
		recipe := c
		if strings.Contains(text, "version") {
			recipe = Config{Optimizer: "adamw", InitProjections: "scaled", DecayFraction: 0.2}
		}
		if _, err := ReadConfig(path, &c); err != nil {
			t.Fatal(err)
		}
		if c.Optimizer != recipe.Optimizer || c.InitProjections != recipe.InitProjections ||
			c.DecayFraction != recipe.DecayFraction {
			t.Errorf("%s: %s, projections %s, decay fraction %v; want %+v", text, c.Optimizer, c.InitProjections,
				c.DecayFraction, recipe)
		}
		if c.SaveMinutes != want {
			t.Errorf("%s: save_minutes %v, want %v", text, c.SaveMinutes, want)
		}
	}
}
