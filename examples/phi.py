"""phi-1's architecture in plain torch ("Textbooks Are All You Need", arXiv 2306.11644, section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

Mask = Tensor | BlockMask | None
"""Who sees whom: None is causal; bool [batch, 1, length, length] is true where a token (row) sees another (column)."""
IGNORED = -100
"""A target that is none."""


@dataclass(frozen=True)
class Shape:
    """A model's size. Rotary positions turn the first half of each head: 32 of phi-1's 64."""

    layers: int
    width: int
    heads: int
    vocabulary: int = 51_200
    context: int = 2_048
    dropout: float = 0.0


PRESETS = {
    "1.3b": Shape(24, 2_048, 32, dropout=0.1),
    "350m": Shape(20, 1_024, 16, dropout=0.1),
    "tiny": Shape(2, 64, 4),
}


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the first dimensions of each head, [batch, heads, length, head], by angles [batch, 1, length, turned / 2]."""
    half = cos.shape[-1]
    a, b, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
    return torch.cat([(a * cos - b * sin).to(x.dtype), (b * cos + a * sin).to(x.dtype), rest], -1)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj, self.k_proj, self.v_proj, self.dense = (nn.Linear(shape.width, shape.width) for _ in range(4))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        projected = (project(x) for project in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (y.unflatten(-1, (self.shape.heads, -1)).transpose(1, 2) for y in projected)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if isinstance(mask, BlockMask):  # its kernel has no dropout
            y = flex_attention(q, k, v, block_mask=mask)
        else:
            dropout = self.shape.dropout if self.training else 0.0
            y = functional.scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout, is_causal=mask is None)
        return self.dense(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and MLP beside each other, behind one norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        wide = 4 * shape.width
        self.input_layernorm = nn.LayerNorm(shape.width, eps=1e-5)
        self.self_attn = Attention(shape)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(shape.width, wide), "fc2": nn.Linear(wide, shape.width)})
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        y = self.input_layernorm(x)
        mlp = self.mlp["fc2"](functional.gelu(self.mlp["fc1"](y), approximate="tanh"))
        return x + self.dropout(self.self_attn(y, cos, sin, mask)) + self.dropout(mlp)


class Phi(nn.Module):
    """phi-1; its parameters have the names of `transformers`' PhiForCausalLM.

    Attributes:
        flops: of a token, forward and backward: 6 for each parameter but the embeddings, which are looked up, and
            6 * layers * width * context for attention, half of PaLM's 12 (arXiv 2204.02311, appendix B), for a causal mask
            needs but half. What the borders of documents save on top is not taken off.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        embed, norm = nn.Embedding(shape.vocabulary, shape.width), nn.LayerNorm(shape.width, eps=1e-5)
        layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.model = nn.ModuleDict({"embed_tokens": embed, "layers": layers, "final_layernorm": norm})
        self.lm_head = nn.Linear(shape.width, shape.vocabulary)
        turned = shape.width // shape.heads // 2
        angles = torch.arange(shape.context)[:, None] / 10_000 ** (torch.arange(0, turned, 2) / turned)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        used = sum(p.numel() for p in self.parameters()) - embed.weight.numel()
        self.flops = 6.0 * (used + shape.layers * shape.width * shape.context)

    def forward(self, ids: Tensor, positions: Tensor, mask: Mask, targets: Tensor | None = None) -> Tensor:
        """Logits [batch, length, vocabulary] for int64 [batch, length]; with targets the sum of their losses in nats."""
        x = self.model["embed_tokens"](ids)
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        for layer in self.model["layers"]:
            x = layer(x, cos, sin, mask)
        logits = self.lm_head(self.model["final_layernorm"](x))
        if targets is None:
            return logits
        logits, targets = logits.float().flatten(0, 1), targets.flatten()
        return functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
