package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

const maxConfig = 1 << 20 // bytes of a file of settings

// ReadConfig sets those fields of c that the file has: a config.json as a run writes it, or a part of one made by hand.
// It returns the names that the file has, as they stand there. Errors: a file that can't be read, isn't one JSON
// object, or has a setting that doesn't exist or is of another type; c is then unchanged.
func ReadConfig(path string, c *Config) (names []string, err error) {
	text, err := plainfile.Read(path, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; hint: name a JSON file such as a run's config.json", path,
			atomicfile.Reason(err))
	}
	return ParseConfig(path, text, c)
}

// readRunConfig is [ReadConfig] of the run in dir: a link in its place leads to no file outside of dir.
func readRunConfig(dir string, c *Config) (names []string, err error) {
	path := filepath.Join(dir, configFile)
	text, err := plainfile.ReadIn(dir, configFile, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; hint: restore it from a copy", path, atomicfile.Reason(err))
	}
	return ParseConfig(path, text, c)
}

// ParseConfig is [ReadConfig] of a text. path is its name in errors.
func ParseConfig(path string, text []byte, c *Config) (names []string, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	fields, err := exactjson.Object(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: want one JSON object of settings; hint: %s", path, err,
			exactjson.Hint(err, "compare it with a run's config.json"))
	}
	known := append(settingNames(), "version", "device_name", "memory")
	names = slices.Sorted(maps.Keys(fields))
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s: unknown setting %q; hint: settings are the flags of train with _ for -, "+
				"such as n_layer", path, name)
		}
	}
	record := Record{Config: *c}
	if err := exactjson.Unmarshal(text, &record); err != nil {
		return nil, fmt.Errorf("%s: %w; hint: compare it with a run's config.json", path, err)
	}
	if _, written := fields["version"]; written { // by the program, not by hand
		record.Config.asBefore(fields)
		// AutoFraction is not for files
	} else if raw := string(fields["val_fraction"]); raw != "" && raw != "null" && record.ValFraction < 0 {
		return nil, fmt.Errorf("%s: val_fraction: got %s, want 0 or more and below 1; hint: leave it out, or 0 for "+
			"no validation on a part of the data", path, raw)
	}
	*c = record.Config
	return names, nil
}

// settingNames returns the names of the settings that config.json has.
func settingNames() (names []string) {
	for _, s := range Settings {
		if !s.Invocation {
			names = append(names, s.Name)
		}
	}
	return names
}

// asBefore sets the settings that fields, the content of a file that the program wrote, lacks, because the program did
// not have them. What it did instead stays.
func (c *Config) asBefore(fields map[string]json.RawMessage) {
	if fields["save_minutes"] == nil {
		c.SaveMinutes = 0
	}
	if fields["val_fraction"] == nil {
		c.ValFraction = 0
	}
	if fields["optimizer"] == nil {
		c.Optimizer = "adamw"
	}
	if fields["init_projections"] == nil {
		c.InitProjections = "scaled"
	}
	if fields["decay_fraction"] == nil {
		c.DecayFraction = wsdDecay
	}
}
