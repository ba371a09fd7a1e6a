-- What is sold by other units than tokens: characters to be spoken, seconds listened to, images made.

ALTER TABLE usage_record ADD COLUMN characters INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_record ADD COLUMN seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_record ADD COLUMN images INTEGER NOT NULL DEFAULT 0;
