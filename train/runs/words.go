package runs

import (
	"fmt"
	"math"
	"time"
)

// Count prints a number with three digits and the letter of its thousands: 124M, 5.31k, 830.
func Count(v float64) string {
	if math.Abs(v) < 999.5 {
		return fmt.Sprintf("%.4g", math.Round(v))
	}
	for _, u := range []struct {
		unit   float64
		letter string
	}{{1e3, "k"}, {1e6, "M"}, {1e9, "B"}, {1e12, "T"}} {
		if math.Abs(v) < 999.5*u.unit || u.letter == "T" {
			return fmt.Sprintf("%.*f%s", max(0, 2-int(math.Log10(math.Abs(v)/u.unit))), v/u.unit, u.letter)
		}
	}
	return ""
}

// Bytes prints bytes in MiB, or the unit that suits them.
func Bytes(n uint64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// Duration prints seconds with two units: 1h02m, 3m20s, 12.5s.
func Duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Ago prints how long ago that was, in one unit.
func Ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours())/24)
}
