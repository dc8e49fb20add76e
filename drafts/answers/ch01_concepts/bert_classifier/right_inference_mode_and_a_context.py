# Right: inference_mode, a context manager for the mode, the pooler called by hand
from contextlib import contextmanager

import torch.nn.functional as functional


@contextmanager
def evaluating(model):
    was_training = model.training
    try:
        yield model.eval()
    finally:
        model.train(was_training)


def collate_reviews(examples):
    longest = max(len(ids) for ids, label in examples)
    fill = [longest - len(ids) for ids, label in examples]
    return {
        "labels": torch.stack([torch.tensor(label) for ids, label in examples]),
        "input_ids": torch.stack([functional.pad(torch.tensor(ids), (0, n)) for (ids, label), n in zip(examples, fill)]),
        "attention_mask": torch.stack([functional.pad(torch.ones(longest - n, dtype=torch.int64), (0, n)) for n in fill]),
    }


class BertClassifier(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.regularise = nn.Dropout(p=config.hidden_dropout_prob)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        first = hidden[:, 0]
        pooled = torch.tanh(self.bert.pooler.dense(first))
        return self.regularise(pooled) @ self.classifier.weight.T + self.classifier.bias


def train_bert_epoch(model, batches, optimizer):
    model.train()
    history = []
    for batch in batches:
        scores = model(attention_mask=batch["attention_mask"], input_ids=batch["input_ids"])
        log_shares = functional.log_softmax(scores, dim=1)
        loss = -log_shares[torch.arange(len(scores)), batch["labels"]].mean()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        loss.backward()
        optimizer.step()
        history.append((float(loss.detach()), len(scores)))
    losses, sizes = map(np.array, zip(*history))
    return float(np.average(losses, weights=sizes))


def predict_reviews(model, batches):
    with evaluating(model), torch.inference_mode():
        return torch.hstack([model(batch["input_ids"], batch["attention_mask"]).argmax(1) for batch in batches])
