// Package needs is what a test asks a platform for before it relies on it: symbolic links, permissions, signals,
// programs. Each function skips the test with the name of what is missing. Only tests import it; arch_test.go has
// the list of what must be asked for.
package needs
