"""Converts nanoGPT's ckpt.pt to a Hugging Face GPT-2 directory: python3 nanogpt_to_hf.py ckpt.pt OUT (needs torch and safetensors)."""
import json, os, sys
import torch
from safetensors.torch import save_file

checkpoint = torch.load(sys.argv[1], map_location="cpu", weights_only=False)  # a pickle: only for files that you trust
args, tensors = checkpoint["model_args"], {}
for name, t in checkpoint["model"].items():
    name = name.replace("_orig_mod.", "").removeprefix("transformer.")
    if name == "lm_head.weight" or name.endswith(".attn.bias"):  # tied to wte; the causal mask
        continue
    if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):  # nn.Linear (out,in); Hugging Face has (in,out)
        t = t.t()
    tensors[name] = t.float().contiguous().clone()
    if not args.get("bias", True) and name.endswith(".weight") and name not in ("wte.weight", "wpe.weight"):
        tensors[name.removesuffix("weight") + "bias"] = torch.zeros(tensors[name].shape[-1])
os.makedirs(sys.argv[2], exist_ok=True)
save_file(tensors, os.path.join(sys.argv[2], "model.safetensors"), metadata={"format": "pt"})
with open(os.path.join(sys.argv[2], "config.json"), "w") as f:
    json.dump({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
               "n_layer": args["n_layer"], "n_head": args["n_head"], "n_embd": args["n_embd"],
               "n_positions": args["block_size"], "vocab_size": tensors["wte.weight"].shape[0]}, f, indent=2)
