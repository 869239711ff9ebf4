"""Make a model of two layers and a tokenizer trained on a text: `make_model.py FOLDER TEXT…`.

Runs in the environment of the test server. The weights are such that each token comes with the same chance whatever
stands before it: the model babbles, hardly ever writes a space, and comes to an end after some twenty tokens. What it
says has a shape only where the server's grammar forces one.
"""

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>"]
#: Without these the parsers of these models do not start.
OF_PARSERS = [
    "[TOOL_CALLS]",
    "[ARGS]",
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "｜DSML｜",
    "<｜deepseek_image｜>",
    "<｜action｜>",
    "<｜query｜>",
    "<｜authority｜>",
    "<｜domain｜>",
    "<｜title｜>",
    "<｜read_url｜>",
    "<｜latest_reminder｜>",
]
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}{%- for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}<|im_start|>{{ m.role }}
{% if m.reasoning_content and not drop_thinking %}<think>{{ m.reasoning_content }}</think>{% endif %}\
{{ m.content or '' }}\
{% for call in m.tool_calls or [] %}
<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "initializer_range": 0.02,
}


#: The scores of tokens that end something; all others are random around 0, and signs of templates far below.
SCORES = {"<|im_end|>": 5.2, "</think>": 5.8, '"': 4.5, "}": 4.5, '"}': 4.5, '"}}': 4.5}
SIGNS = ("<", "ï")  # as what stands before DSML begins, in bytes
SPACES = ("Ġ", "Ċ", "ĉ", "č")
NEVER = -10.0
#: Below the signs of templates: a call's number would never end, and these would spell each sign letter by letter.
RARER = -15.0
#: Below all: between the parts of a call some grammars let any number of spaces stand, and only "<" goes on from there.
RAREST = -20.0


def score(token: str, chance: random.Random) -> float:
    if token in SCORES:
        return SCORES[token]
    if token in {*SPECIAL, *OF_PARSERS}:
        return NEVER
    if any(space in token for space in SPACES):
        return RAREST
    return RARER if token.isdigit() or token.startswith(SIGNS) else chance.gauss(0, 1)


def weights(tokens: list[str], size: int) -> dict[str, torch.Tensor]:
    """Return weights that lead every token to the same inner state: the last matrix alone says what comes next."""
    wide, inner, head = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    query, key = CONFIG["num_attention_heads"] * head, CONFIG["num_key_value_heads"] * head
    chance = random.Random(7)
    scores = torch.full((size,), NEVER)
    scores[: len(tokens)] = torch.tensor([score(token, chance) for token in tokens])
    found = {
        "model.embed_tokens.weight": torch.ones(size, wide),
        "model.norm.weight": torch.ones(wide),
        "lm_head.weight": (scores / wide)[:, None].repeat(1, wide),
    }
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}.{name}.weight"] = torch.ones(wide)
        for name in ("q_norm", "k_norm"):
            found[f"{layer}.self_attn.{name}.weight"] = torch.ones(head)
        shapes = {"q_proj": (query, wide), "k_proj": (key, wide), "v_proj": (key, wide), "o_proj": (wide, query)}
        for name, shape in shapes.items():
            found[f"{layer}.self_attn.{name}.weight"] = torch.zeros(shape)
        for name, shape in {"gate_proj": (inner, wide), "up_proj": (inner, wide), "down_proj": (wide, inner)}.items():
            found[f"{layer}.mlp.{name}.weight"] = torch.zeros(shape)
    return {name: value.to(torch.bfloat16).contiguous() for name, value in found.items()}


def main(folder: Path, texts: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=[*SPECIAL, *OF_PARSERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    size = -(-len(fast) // 64) * 64
    end = fast.convert_tokens_to_ids("<|im_end|>")
    save_file(weights(fast.convert_ids_to_tokens(range(len(fast))), size), folder / "model.safetensors")
    config = CONFIG | {"vocab_size": size, "bos_token_id": end, "eos_token_id": end}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
