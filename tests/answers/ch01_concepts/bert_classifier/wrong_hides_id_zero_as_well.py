# Wrong: ids of 0 are hidden although the mask admits them
# Fails: ignores_the_padding
def collate_reviews(examples: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    longest = max(len(ids) for ids, _ in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for row, (ids, _) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
        attention_mask[row, : len(ids)] = 1
    labels = torch.tensor([label for _, label in examples], dtype=torch.int64)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


class BertClassifier(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        encoded = self.bert(
            input_ids=input_ids, attention_mask=attention_mask * (input_ids != 0), token_type_ids=token_type_ids, return_dict=True
        )
        return self.classifier(self.dropout(encoded.pooler_output))


def train_bert_epoch(model, batches, optimizer) -> float:
    model.train()
    total, count = 0.0, 0
    for batch in batches:
        logits = model(batch["input_ids"], batch["attention_mask"])
        loss = F.cross_entropy(logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch["labels"])
        count += len(batch["labels"])
    return total / count


@torch.no_grad()
def predict_reviews(model, batches) -> torch.Tensor:
    was_training = model.training
    model.eval()
    classes = [model(batch["input_ids"], batch["attention_mask"]).argmax(-1) for batch in batches]
    model.train(was_training)
    return torch.cat(classes)
