# Wrong: the classes are floats, where int64 is promised
# Fails: predicts_one_class_per_review, predicts_without_traces
def collate_reviews(examples: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    length = max(len(ids) for ids, _ in examples)
    input_ids = torch.zeros(len(examples), length, dtype=torch.long)
    attention_mask = torch.zeros(len(examples), length, dtype=torch.long)
    for row, (ids, _) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        attention_mask[row, : len(ids)] = 1
    labels = torch.tensor([label for _, label in examples])
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


class BertClassifier(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        outputs = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        pooled = outputs.pooler_output
        return self.classifier(self.dropout(pooled))


def train_bert_epoch(
    model: nn.Module, batches: list[dict[str, torch.Tensor]] | DataLoader, optimizer: torch.optim.Optimizer
) -> float:
    model.train()
    total = 0.0
    n = 0
    for batch in batches:
        optimizer.zero_grad()
        logits = model(batch["input_ids"], batch["attention_mask"])
        loss = F.cross_entropy(logits, batch["labels"])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch["labels"])
        n += len(batch["labels"])
    return total / n


def predict_reviews(model: nn.Module, batches: list[dict[str, torch.Tensor]] | DataLoader) -> torch.Tensor:
    training = model.training
    model.eval()
    predicted = []
    with torch.no_grad():
        for batch in batches:
            logits = model(batch["input_ids"], batch["attention_mask"])
            predicted.append(logits.argmax(dim=-1))
    model.train(training)
    return torch.cat(predicted).float()
