"""A tiny GPT-2, saved as Hugging Face does, that continues every text in one way: each word has one that follows it."""

from pathlib import Path


def save_bigram_gpt2(folder: Path, sentence: str, positions: int = 512) -> Path:
    """Write a GPT-2 that says `sentence` after a colon, and then ends."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<end>", "<unknown>", ":", *dict.fromkeys(sentence.split())]
    number = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(number, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<end>", eos_token="<end>", unk_token="<unknown>"
    ).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=positions,
        n_embd=len(words),
        n_layer=1,
        n_head=1,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.weight.fill_(1)
        model.transformer.wte.weight.copy_(torch.eye(len(words)))
        chain = [":", *sentence.split(), "<end>"]
        for word, following in zip(chain, chain[1:], strict=False):
            model.lm_head.weight[number[following], number[word]] = 5
    model.save_pretrained(folder)
    return folder
