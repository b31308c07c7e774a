"""Makes tokenizers with Hugging Face's libraries, and the ids that these give awkward texts, for TestHuggingFaceTokenizers.

usage: make.py OUT [N]    N: random texts per tokenizer beside the fixed ones (the committed files have none)

Each folder of OUT is a tokenizer's directory as transformers reads it; ids.jsonl in it has {"text": .., "ids": [..]} lines.
Needs: pip install transformers (4 or 5; it brings tokenizers).
"""

import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1]
N = int(sys.argv[2]) if len(sys.argv) > 2 else 0
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

PARTS = """a b t s re ll ve S ' 's 're 'l 1 23 ² ٣ Ⅷ . , - !! é é 你 好 ก 😀 ‍ the ing ation zq ß ǅ _ < endof > king The Marrow
<|endoftext|> <s> <sep> <sep><sep> <pad> <mask> user <|user|> word w <|im_start|> é< naïve NAÏVE""".split(" ")
PARTS += [" ", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\x1c", "\v", "\u00a0\u00a0", "\n\n\n", "\x00", "\x7f", "\ufeff", "\ufffd"]
FIXED = ["", " ", "Hello, I'm a language model,", "  two  blanks  ", "don't they'll we've I'd it's 'tis", "\n\n\n x\n", "12345 678 9.10", "a" * 300,
         "naïve café — 你好 😀👩‍👩‍👧 ﷽", "user users <|user|>user user<|user|>", " <mask> x <mask>", "x <pad> y  <pad>\n z", "<sep><sep><sep> <sep>",
         "one<|endoftext|>two <|endoftext|> three", "<|im_start|>user\nThe king<|im_end|>\n", "\u0000\u0001 \u007f", "e\u0301 \u1e9b\u0323", "\u3000全角 \u00a0x"]


def texts(rng):
    out = list(FIXED)
    out += ["".join(rng.choice(PARTS) for _ in range(rng.randrange(1, 14))) for _ in range(20 + N // 2)]
    for _ in range(N // 2):  # any character but surrogates
        out.append("".join(chr(c) for c in (rng.choice([rng.randrange(0x100), rng.randrange(0x3000), rng.randrange(0x110000)]) for _ in range(rng.randrange(1, 30)))
                           if not 0xD800 <= c < 0xE000))
    return out


def train(alphabet=True, size=500, **model):
    tok = Tokenizer(models.BPE(**model))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>"] + ([model["unk_token"]] if "unk_token" in model else [])
    tok.train([os.path.join(HERE, "..", "..", "sample.txt")],
              trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else []))
    return tok


def change(tok, f):
    d = json.loads(tok.to_str())
    f(d)
    return Tokenizer.from_str(json.dumps(d))


def write(name, tok=None, agree=True, **files):
    """Writes a directory and the ids that transformers' AutoTokenizer gives; where it has a tokenizer.json, tokenizers must
    agree, unless its config adds tokens."""
    path = os.path.join(OUT, name)
    os.makedirs(path, exist_ok=True)
    if tok is not None:
        tok.save(os.path.join(path, "tokenizer.json"), pretty=False)
        files.setdefault("tokenizer_config", {"tokenizer_class": "PreTrainedTokenizerFast"})
    for file, content in files.items():
        with open(os.path.join(path, file + (".txt" if file == "merges" else ".json")), "w", encoding="utf-8") as f:
            f.write(content if isinstance(content, str) else json.dumps(content))
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump({"model_type": "gpt2"}, f)
    auto = AutoTokenizer.from_pretrained(path)
    os.remove(os.path.join(path, "config.json"))
    rng = random.Random(name)
    with open(os.path.join(path, "ids.jsonl"), "w", encoding="utf-8") as f:
        for text in texts(rng):
            ids = auto.encode(text, add_special_tokens=False)
            if tok is not None and agree and ids != tok.encode(text, add_special_tokens=False).ids:
                print(f"{name}: {text!r}: AutoTokenizer {ids}, tokenizers {tok.encode(text, add_special_tokens=False).ids}")
            f.write(json.dumps({"text": text, "ids": ids}) + "\n")


def vocab_and_merges(tok, seed=None):
    d = json.loads(tok.to_str())["model"]
    vocab = d["vocab"]
    if seed is not None:  # ids in another order than the merges
        ids = list(vocab.values())
        random.Random(seed).shuffle(ids)
        vocab = dict(zip(vocab, ids))
    merges = [m if isinstance(m, str) else " ".join(m) for m in d["merges"]]
    return {"vocab": vocab, "merges": "#version: 0.2\n" + "\n".join(merges) + "\n"}


plain = train()
write("plain", plain)
write("shuffled", **vocab_and_merges(plain, 1), tokenizer_config={"tokenizer_class": "GPT2Tokenizer"})

added = change(plain, lambda d: d["pre_tokenizer"].update(add_prefix_space=True))
added.add_tokens([AddedToken("<sep>", normalized=False), AddedToken("<sep><sep>", normalized=True), AddedToken("user", single_word=True),
                  AddedToken("<|user|>"), "<|im_start|>", "<|im_end|>"])
added.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<pad>", rstrip=True)])
write("added", added, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True, "pad_token": "<pad>", "eos_token": "<|endoftext|>"})

write("decoder", **vocab_and_merges(plain, 2), tokenizer_config={
    "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "added_tokens_decoder": {
        "500": {"content": "<|user|>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": False},
        "501": {"content": "<s>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "special": True}}})
write("map", **vocab_and_merges(plain), special_tokens_map={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<pad>"},
      added_tokens={"<pad>": 500}, tokenizer_config={"tokenizer_class": "GPT2Tokenizer"})

write("gaps", train(alphabet=False, size=300))
write("unknown", train(alphabet=False, size=300, unk_token="<unk>"))
write("ignore_merges", change(plain, lambda d: (d["model"].update(ignore_merges=True), d["model"].update(merges=d["model"]["merges"][:100]))))
cut = change(plain, lambda d: d["model"].update(merges=d["model"]["merges"][:100]))  # tokens that no merge reaches
write("unreachable", cut)
split = Tokenizer.from_str(plain.to_str())
split.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(GPT2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
write("split", split)
unsplit = Tokenizer.from_str(plain.to_str())
unsplit.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
write("unsplit", unsplit, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True})
write("roles", plain, agree=False, tokenizer_config={
    "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "pad_token": "<pad>", "additional_special_tokens": ["<|user|>", "<sep>"],
    "mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": True}})
