// Package shell writes words as a shell reads them, for commands that a person copies from the log, a hint or a report.
// It knows POSIX shells; PowerShell and cmd.exe read the words that need no quotes. Nothing here runs a command.
package shell
