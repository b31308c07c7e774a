package train

import "encoding/json"

// settingsSince are the settings that config.json and state.json did not have at first, with what the program did
// before it had them. A run that lacks one goes on as it began.
var settingsSince = []struct {
	name   string // in JSON
	before func(*Config)
}{
	{"save_minutes", func(c *Config) { c.SaveMinutes = 0 }},
	{"val_fraction", func(c *Config) { c.ValFraction = 0 }},
}

// asBefore sets the settings that fields, the content of a file that the program wrote, lacks.
func (c *Config) asBefore(fields map[string]json.RawMessage) {
	for _, s := range settingsSince {
		if _, has := fields[s.name]; !has {
			s.before(c)
		}
	}
}
