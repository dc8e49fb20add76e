# Right: by a reader who saw the release alone
def collate_reviews(examples: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    """Makes one batch of examples of unequal length (see the exercise)."""
    longest = max(len(ids) for ids, _ in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.int64)
    for row, (ids, _) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids)
    return {
        "input_ids": input_ids,
        "attention_mask": (input_ids != 0).long(),
        "labels": torch.tensor([label for _, label in examples]),
    }


class BertClassifier(nn.Module):
    """A BERT encoder with a linear classifier on its pooled [CLS] output."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """From token ids to logits."""
        encoded = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return self.classifier(self.dropout(encoded.pooler_output))


def train_bert_epoch(
    model: nn.Module, batches: list[dict[str, torch.Tensor]] | DataLoader, optimizer: torch.optim.Optimizer
) -> float:
    """Trains the model for one epoch; returns the mean cross-entropy over all examples."""
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        labels = batch["labels"]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch["input_ids"], batch["attention_mask"]), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        n += len(labels)
    return total / n


@torch.no_grad()
def predict_reviews(model: nn.Module, batches: list[dict[str, torch.Tensor]] | DataLoader) -> torch.Tensor:
    """For each example, the class with the largest logit."""
    was_training = model.training
    model.eval()
    classes = [model(batch["input_ids"], batch["attention_mask"]).argmax(-1) for batch in batches]
    model.train(was_training)
    return torch.cat(classes)
