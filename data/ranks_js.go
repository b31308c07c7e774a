package data

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
)

const ranksHint = "put make web's r50k_base.tiktoken there"

// ranksFile is where a page puts GPT-2's ranks: embedded, they would come with the other encodings of the library, four
// times the size of the program.
const ranksFile = "/assets/r50k_base.tiktoken"

// readRanks returns the rank of each of GPT-2's tokens. GPT2WGPU_RANKS names another file, for tests.
func readRanks() (map[string]int, error) {
	content, err := os.ReadFile(cmp.Or(os.Getenv("GPT2WGPU_RANKS"), ranksFile))
	if err != nil {
		return nil, err
	}
	ranks := make(map[string]int, gpt2Vocab)
	for line := range bytes.Lines(content) {
		word, rank, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		token, err := base64.StdEncoding.AppendDecode(nil, word)
		id, err2 := strconv.Atoi(string(rank))
		if err = cmp.Or(err, err2); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", ranksFile, line, err)
		}
		ranks[string(token)] = id
	}
	return ranks, nil
}
