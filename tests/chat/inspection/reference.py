"""Log-probabilities computed by transformers alone, to compare ours with."""


def forward_pass(directory, prompt, completion, top):
    """Each token's log-probability and the most probable ones of its place, by a plain forward pass."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([prompt + completion])).logits[0].double()
    rows = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
    own = [row[number].item() for row, number in zip(rows, completion, strict=True)]
    return own, [dict(zip(*map(torch.Tensor.tolist, reversed(row.topk(top))), strict=True)) for row in rows]
