//go:build !unix

package train

// writable has no answer here: creating a file will show.
func writable(string) error { return nil }
