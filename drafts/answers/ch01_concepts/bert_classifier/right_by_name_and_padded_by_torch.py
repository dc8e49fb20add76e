# Right: pad_sequence, the mask from the ids, everything passed by name, functional dropout
from torch.nn.utils.rnn import pad_sequence


def collate_reviews(examples):
    ids, labels = zip(*examples)
    input_ids = pad_sequence([torch.LongTensor(row) for row in ids], batch_first=True)
    return dict(input_ids=input_ids, attention_mask=input_ids.ne(0).long(), labels=torch.LongTensor(labels))


class BertClassifier(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.p = config.hidden_dropout_prob
        self.bert = BertModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        _, pooled = self.bert(input_ids, attention_mask, token_type_ids, return_dict=False)
        return self.classifier(F.dropout(pooled, self.p, training=self.training))


def train_bert_epoch(model, batches, optimizer):
    losses = []
    for batch in batches:
        model.train()
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        each = nn.CrossEntropyLoss(reduction="none")(model(**inputs), batch["labels"])
        model.zero_grad()
        each.mean().backward()
        optimizer.step()
        losses += each.tolist()
    return sum(losses) / len(losses)


@torch.no_grad()
def predict_reviews(model, batches):
    before, classes = model.training, []
    model.train(False)
    for batch in batches:
        classes.extend(model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).max(-1).indices.tolist())
    model.train(before)
    return torch.tensor(classes)
