//go:build !js

package data

import tiktokenloader "github.com/pkoukk/tiktoken-go-loader"

const ranksHint = "this build is damaged, build it again"

// readRanks returns the rank of each of GPT-2's tokens, which the program has embedded.
func readRanks() (map[string]int, error) {
	return tiktokenloader.NewOfflineLoader().LoadTiktokenBpe("r50k_base.tiktoken")
}
